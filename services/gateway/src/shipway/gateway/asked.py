"""One request for one model's predictions."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from shipway.gateway.routing import ModelRoutes, Route
from shipway.gateway.stickiness import Stickiness
from shipway.runtime import trace


class Asked:
    """One request for one model's predictions, as far as it is known by the time it ends; a span of its own.

    ``rows`` are those of a request in JSON, as they came, once they are read; ``first_value`` gives that of a tensor,
    by its name, of a request that came as tensors. ``looked_up``: of how many rows each look-up table knew the entity,
    where the version looks features up.
    """

    __slots__ = (
        "begun",
        "body",
        "client_ids",
        "explain",
        "first_value",
        "headers",
        "ids",
        "looked_up",
        "model",
        "parent",
        "route",
        "rows",
        "span",
        "timeout_s",
        "version",
    )

    def __init__(self, model: str, traceparent: bytes | None, timeout_s: float, version: int | None = None) -> None:
        self.model = model
        self.version = version
        self.timeout_s = timeout_s
        self.begun = time.perf_counter()
        self.parent = traceparent.decode("latin-1") if traceparent else None
        self.span = trace.child(self.parent)
        self.route: Route | None = None
        self.ids: list[str] = []
        self.client_ids: list[str] | None = None
        self.explain = False
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self.body = b""
        self.rows: Sequence[Any] | None = None
        self.first_value: Callable[[str], Any] | None = None
        self.looked_up: Mapping[str, int] | None = None

    @property
    def left_s(self) -> float:
        """How much of its time is left."""
        return self.timeout_s - (time.perf_counter() - self.begun)

    def within(self, timeout_ms: float) -> None:
        """Takes a shorter time for the answer; a longer one than it has it can't have."""
        self.timeout_s = min(self.timeout_s, timeout_ms / 1000)

    def chosen(self, routes: ModelRoutes) -> Route | None:
        """The route of the version that is asked for, or that the shares choose; None where nobody can answer now."""
        if self.version is not None:
            return routes.of(self.version)
        place = None if routes.sticky is None else self._place(routes.sticky)
        return routes.choose(random.random() if place is None else place)

    def _place(self, sticky: Stickiness) -> float | None:
        if self.first_value is not None and sticky.by == "feature":
            return sticky.place((), [{sticky.name: self.first_value(sticky.name)}], b"")
        return sticky.place(self.headers, self.rows, self.body)
