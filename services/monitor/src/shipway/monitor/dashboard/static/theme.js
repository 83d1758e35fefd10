// Before the first paint, so that a page never flashes in the other colours.
"use strict";
(() => {
  const chosen = localStorage.getItem("shipway-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
