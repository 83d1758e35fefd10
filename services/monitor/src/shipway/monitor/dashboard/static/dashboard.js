// What pages need of the browser beyond htmx: the stream that says when to look again, plots, and the question before
// a command. Nothing here decides anything; the server does.
"use strict";
(() => {
  const LOOK_AGAIN_MS = 2000;
  const told = document.getElementById("told");

  // --- plots ---
  const drawn = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (v) => (Math.abs(v) >= 1e6 ? +(v / 1e6).toPrecision(3) + "M" : Math.abs(v) >= 1e4 ? +(v / 1e3).toPrecision(3) + "k" : +v.toPrecision(3) + "");
  const write = {
    count: short,
    figure: short,
    rate: (v) => short(v) + "/s",
    share: (v) => +(100 * v).toPrecision(3) + " %",
    us: (v) => (v >= 1e6 ? short(v / 1e6) + " s" : v >= 1e3 ? short(v / 1e3) + " ms" : short(v) + " µs"),
  };

  function draw(area) {
    const said = JSON.parse(area.dataset.plot);
    const before = drawn.get(area.id);
    if (before && before.area === area && area.contains(before.plot.root) && before.shape === shape(said)) {
      if (before.text !== area.dataset.plot) before.plot.setData(said.data);
      before.text = area.dataset.plot;
      return;
    }
    if (before) before.plot.destroy();
    area.textContent = "";
    const text = write[said.unit];
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "11px system-ui, sans-serif" };
    const [first, last] = [said.data[0][0], said.data[0].at(-1)];
    const moment = last - first > 172800 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit", hour12: false };
    const written = new Intl.DateTimeFormat("en-GB", { ...moment, timeZone: "UTC" });
    const plot = new uPlot({
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      width: area.clientWidth, height: 190,
      cursor: { sync: { key: "page" }, drag: { x: false, y: false }, points: { size: 6 } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [said.low ?? low, said.high ?? (high > (said.low ?? low) ? high * 1.08 : (said.low ?? low) + 1)] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((at) => written.format(new Date(at * 1000))) }, { ...axis, size: 62, values: (_, ticks) => ticks.map(text) }],
      series: [{ value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...said.series.map((s) => ({
        label: s.label, stroke: colour("--tone-" + s.tone), width: 2, dash: s.dashed ? [6, 4] : undefined,
        fill: said.series.length === 1 ? colour("--fill-" + s.tone) : undefined,
        points: { show: said.data[0].length < 40, size: 4 }, value: (_, v) => (v == null ? "–" : text(v)),
      }))],
    }, said.data, area);
    drawn.set(area.id, { plot, area, text: area.dataset.plot, shape: shape(said) });
  }
  const shape = (said) => JSON.stringify([said.series, said.unit]);
  function drawAll(anew) {
    if (anew) { for (const one of drawn.values()) one.plot.destroy(); drawn.clear(); }
    document.querySelectorAll("[data-plot]").forEach(draw);
  }
  new ResizeObserver(() => {
    for (const { plot, area } of drawn.values()) if (area.isConnected) plot.setSize({ width: area.clientWidth, height: 190 });
  }).observe(document.body);

  // --- looking again ---
  // What a person has open, types, or has drawn stays as it is when a newer page is laid over it.
  Object.assign(Idiomorph.defaults, { ignoreActiveValue: true });
  Idiomorph.defaults.callbacks.beforeNodeRemoved = (node) => !(node.classList && node.classList.contains("uplot"));
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");
  document.body.addEventListener("htmx:afterSettle", () => drawAll(false));

  const live = document.getElementById("live");
  if (live) {
    let due = 0, waiting = false;
    const look = () => {
      if (document.hidden) { waiting = true; return; }
      const wait = due - Date.now();
      if (wait > 0) { if (!waiting) { waiting = true; setTimeout(() => { waiting = false; look(); }, wait); } return; }
      due = Date.now() + LOOK_AGAIN_MS;
      htmx.trigger(document.body, "shipway:changed");
    };
    const say = (word, on) => { live.classList.toggle("on", on); if (live.lastChild.textContent !== word) live.lastChild.textContent = word; };
    const stream = new EventSource("/dashboard/stream");
    stream.onopen = () => say("live", true);
    stream.onerror = () => say("not connected", false);
    stream.addEventListener("changed", look);
    stream.addEventListener("beat", look);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && waiting) { waiting = false; look(); } });
    addEventListener("pagehide", () => stream.close());
  }

  // --- commands ---
  const dialog = document.getElementById("ask"), form = document.getElementById("ask-form");
  let asked = null;
  document.body.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ask]");
    if (!button) return;
    asked = { ...button.dataset };
    const fields = (asked.fields || "").split(" ");
    document.getElementById("ask-title").textContent = asked.title;
    document.getElementById("ask-says").textContent = asked.says;
    document.getElementById("ask-yes").textContent = asked.title;
    document.getElementById("ask-yes").classList.toggle("grave", "grave" in asked);
    form.querySelectorAll("[data-field]").forEach((one) => { one.hidden = !fields.includes(one.dataset.field); });
    form.reset();
    document.getElementById("ask-stage").replaceChildren(...["", ...(asked.stages || "").split(" ").filter(Boolean)].map((name) => new Option(name || "that failed", name)));
    dialog.showModal();
  });
  document.getElementById("ask-no").addEventListener("click", () => dialog.close());
  // A model's files go first, each by itself; the command then names them by what the server made of each.
  async function sent(files) {
    const values = {};
    for (const input of files) {
      const file = input.files[0];
      if (!file) continue;
      tell(`sending ${input.dataset.file} …`, "wait");
      const headers = JSON.parse(document.body.getAttribute("hx-headers"));
      const answer = await fetch("/dashboard/imports/" + input.dataset.file, { method: "PUT", body: file, headers });
      const said = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(said.detail || "not done: " + answer.status);
      values[input.dataset.file] = said.sha256;
    }
    return values;
  }
  form.addEventListener("submit", async () => {
    const what = asked, values = {};
    for (const [name, value] of new FormData(form)) if (!form.querySelector(`[data-field=${name}]`).hidden) values[name] = value;
    for (const name of ["version", "model", "kind", "service"]) if (what[name]) values[name] = what[name];
    try {
      if ((what.fields || "").split(" ").includes("files")) Object.assign(values, await sent(form.querySelectorAll("[data-file]")));
    } catch (error) {
      tell(error instanceof TypeError ? "not done: the monitor does not answer" : error.message);
      return;
    }
    htmx.ajax("POST", what.ask, { source: document.body, target: told, swap: "innerHTML", values });
  });
  const tell = (text, tone = "bad") => {
    const line = document.createElement("p");
    line.className = "told " + tone;
    line.textContent = text;
    told.replaceChildren(line);
  };
  document.body.addEventListener("htmx:responseError", (event) => {
    if (event.detail.requestConfig.verb === "get") return;
    let said = "";
    try { said = JSON.parse(event.detail.xhr.responseText).detail; } catch { said = "not done: " + event.detail.xhr.status; }
    tell(said);
  });
  document.body.addEventListener("htmx:sendError", (event) => { if (event.detail.requestConfig.verb !== "get") tell("not done: the monitor does not answer"); });

  // --- colours, keys ---
  const theme = document.getElementById("theme");
  if (theme) {
    const names = { auto: "as the system", dark: "dark", light: "light" };
    const label = () => theme.setAttribute("aria-label", "Colours: " + names[localStorage.getItem("shipway-theme") || "auto"]);
    theme.addEventListener("click", () => {
      const order = ["auto", "dark", "light"], now = localStorage.getItem("shipway-theme") || "auto";
      const next = order[(order.indexOf(now) + 1) % 3];
      localStorage.setItem("shipway-theme", next);
      if (next === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = next;
      label();
      drawAll(true);
    });
    label();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
  }
  let led = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "g") { led = true; setTimeout(() => { led = false; }, 1000); return; }
    const link = led && document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (link) location.assign(link.href);
    led = false;
  });

  drawAll(false);
})();
