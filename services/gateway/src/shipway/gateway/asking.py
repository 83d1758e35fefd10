"""What every way of asking for predictions shares: the route, the call, and the record of what was not answered."""

import asyncio
import difflib
import random
import time
import uuid
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from sys import byteorder
from typing import Any

from prometheus_client import Counter, Histogram

from shipway.contract.predictionlog import Outcome, PredictionRecord
from shipway.gateway.encoding import encoded_with_lookups
from shipway.gateway.lanes import Scores
from shipway.gateway.registry import Registry
from shipway.gateway.routing import ModelRoutes, Route
from shipway.gateway.settings import LimitSettings
from shipway.gateway.shadowing import Shadows
from shipway.gateway.stickiness import Stickiness
from shipway.gateway.upstream import Asking, Rows, Upstream
from shipway.runtime import log, trace
from shipway.runtime.http import Problem
from shipway.runtime.prediction_ids import as_text, new_ids
from shipway.runtime.prediction_sink import PredictionSink

_log = log.get(__name__)
REQUESTS = Counter("shipway_gateway_requests_total", "Prediction requests, by how they ended.", ["model", "outcome"])
SECONDS = Histogram(
    "shipway_gateway_seconds",
    "Seconds from request to answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


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


class Asker:
    """Finds who answers, asks, and puts on record how it ended."""

    def __init__(
        self, registry: Registry, upstream: Upstream, sink: PredictionSink, limits: LimitSettings, instance: str
    ) -> None:
        self.limits = limits
        self.registry = registry
        self._upstream = upstream
        self._sink = sink
        self._instance = instance
        self._shadows = Shadows(upstream, sink, instance)
        self._answered: dict[str, Counter] = {}
        self.on_answered: Callable[[Asked], None] | None = None

    def asked(self, model: str, traceparent: bytes | None, version: int | None = None) -> Asked:
        """A request that came just now."""
        return Asked(model, traceparent, self.limits.request_timeout_ms / 1000, version)

    def route_now(self, asked: Asked) -> Route | None:
        """The version that answers, by the shares; None where one must be waited for, or there is none."""
        routes = self.registry.routes.get(asked.model)
        asked.route = asked.chosen(routes) if routes is not None else None
        return asked.route

    async def route(self, asked: Asked) -> Route:
        """The version that answers, by the shares; waits for one within the patience.

        Raises:
            Problem: 404 no such model or version, 503 nobody can answer for it now, 504 its time is over.
        """
        model = asked.model
        until = time.monotonic() + min(self.limits.patience_ms / 1000, asked.left_s)
        while (routes := self.registry.routes.get(model)) is None and not self.registry.read:
            # A model that is not known yet is not one that does not exist.
            if not await self.registry.changes(model, until):
                raise starting()
        if routes is None:
            raise self._unknown(model)
        while (route := asked.chosen(routes)) is None:
            if asked.version is not None and asked.version not in self.registry.held(model):
                raise Problem(404, f"no such version of {model} is held ({asked.version}); see GET /models/{model}")
            if not await self.registry.changes(model, until):
                if asked.left_s <= 0:
                    raise Problem(504, f"no instance could answer for {model} in {asked.timeout_s * 1000:.0f} ms")
                raise Problem(503, f"no instance can answer for {model} now; see GET /models/{model}", retry_after_s=1)
            routes = self.registry.routes.get(model, routes)
        asked.route = route
        return route

    def encoded(self, asked: Asked, rows: Sequence[Any]) -> list[list[float]]:
        """Rows as the numbers of the version that the request was routed to, with what it looks up.

        Raises:
            InvalidRows: with every wrong field. Problem: 503, the look-up tables are not whole here.
        """
        route = asked.route
        assert route is not None, "a request is routed before it is read"
        encoder = route.form.encoder
        if not encoder.lookups:
            return encoder.encode(rows)
        numbers, asked.looked_up = encoded_with_lookups(route.model, encoder, rows, self.registry.features)
        return numbers

    def ask(
        self,
        asked: Asked,
        count: int,
        values: bytes,
        client_ids: list[str] | None,
        done: Callable[[list[list[float]] | Problem], None],
    ) -> Asking:
        """Asks for the scores of encoded rows by the version that the request was routed to; gives it its ids.

        ``values`` are ``count`` rows as the rows protocol has them. ``done`` gets the scores, a list a row, or the
        Problem (502, 503 or 504). Of a request to explain, each row's contributions come after its scores.

        Raises:
            Problem: 503, too many requests are under way.
        """
        route = asked.route
        assert route is not None, "a request is routed before it is scored"
        joined = new_ids(count)
        asked.ids = as_text(joined)
        asked.client_ids = client_ids
        sent = Rows(count, values, joined, bytes.fromhex(asked.span[3:35]), client_ids, asked.explain)
        outputs = route.signature.outputs_per_row
        if asked.explain:
            outputs *= len(route.signature.features) + 2

        def settled(outcome: Scores | Problem) -> None:
            if isinstance(outcome, Problem):
                done(outcome)
            elif asked.explain and outcome[0] == route.signature.outputs_per_row:
                done(Problem(503, "explain: the instance is of a release that can't yet", retry_after_s=5))
            elif outcome[0] != outputs:
                done(Problem(502, f"{route.model} version {route.version}: gave {outcome[0]} numbers a row"))
            else:
                done(as_rows(outcome[1], outputs))
                if route.shadow is not None and not asked.explain:
                    self._shadows.offer(route, route.shadow, sent, asked.rows, outcome[1])

        return self._upstream.ask(route, sent, asked.left_s, settled)

    async def scores(
        self, asked: Asked, count: int, values: bytes, client_ids: list[str] | None = None
    ) -> list[list[float]]:
        """As ``ask``, for those who wait for the scores.

        Raises:
            Problem: 502, 503 or 504.
        """
        found: asyncio.Future[list[list[float]]] = asyncio.get_running_loop().create_future()

        def done(outcome: list[list[float]] | Problem) -> None:
            if found.done():
                return
            if isinstance(outcome, Problem):
                found.set_exception(outcome)
            else:
                found.set_result(outcome)

        asking = self.ask(asked, count, values, client_ids, done)
        try:
            return await found
        except asyncio.CancelledError:
            asking.cancel()
            raise

    def answered(self, asked: Asked) -> None:
        """Counts a request that was answered."""
        counter = self._answered.get(asked.model)
        if counter is None:
            counter = self._answered[asked.model] = REQUESTS.labels(asked.model, "answered")
        counter.inc()
        SECONDS.observe(time.perf_counter() - asked.begun)
        if self.on_answered is not None:
            self.on_answered(asked)

    def gone(self, asked: Asked) -> None:
        """Counts a request whose client did not wait."""
        REQUESTS.labels(self._label(asked.model), "client gone").inc()
        SECONDS.observe(time.perf_counter() - asked.begun)

    def refused(self, asked: Asked, problem: Problem) -> None:
        """Counts a request that was not answered, and puts it on record, a row each where rows are known."""
        seconds = time.perf_counter() - asked.begun
        # A 503 is a refusal: an overload must not count against the version.
        outcome: Outcome = "failed" if problem.status in (500, 502, 504) else "refused"
        REQUESTS.labels(self._label(asked.model), outcome).inc()
        SECONDS.observe(seconds)
        if problem.status >= 500:
            _log.warning("prediction failed", model=asked.model[:100], status=problem.status, reason=problem.detail)
        if asked.model not in self.registry.routes:
            return  # a name that is no model's: counted, but no record of a model
        now, trace_id = datetime.now(UTC), asked.span[3:35]
        for i, one in enumerate(asked.ids or [uuid.uuid4().hex]):
            self._sink.put(
                PredictionRecord(
                    prediction_id=one,
                    at=now,
                    model=asked.model,
                    version=asked.route.version if asked.route else None,
                    generation=asked.route.generation if asked.route else None,
                    instance=self._instance,
                    role=asked.route.role if asked.route else None,
                    outcome=outcome,
                    reason=f"{problem.status}: {problem.detail}"[:500],
                    latency_us=round(1e6 * seconds),
                    client_id=asked.client_ids[i] if asked.client_ids else None,
                    trace_id=trace_id,
                    features=None,
                    scores=None,
                )
            )

    def _unknown(self, model: str) -> Problem:
        served = list(self.registry.routes)
        close = difflib.get_close_matches(model[:100], served, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; served are {', '.join(served[:20]) or 'none yet'}"
        return Problem(404, f"model {model[:100]!r} is not served here{hint}")

    def _label(self, model: str) -> str:
        """The model's name as a metric's label; names that clients make up must not fill the memory."""
        return model if model in self.registry.routes else "unknown"


def starting() -> Problem:
    """The refusal of a request that came too early."""
    return Problem(503, "the gateway starts and does not know the models yet; see GET /readyz", retry_after_s=1)


def as_bytes(rows: list[list[float]]) -> bytes:
    """Rows of numbers as the rows protocol has them."""
    values = array("d", rows[0] if len(rows) == 1 else chain.from_iterable(rows))
    if byteorder == "big":
        values.byteswap()
    return values.tobytes()


def as_rows(scores: bytes, outputs: int) -> list[list[float]]:
    """Scores, ``outputs`` numbers a row, as lists; the inverse of as_bytes."""
    found = array("d", scores)
    if byteorder == "big":
        found.byteswap()
    numbers = found.tolist()
    return [numbers[i : i + outputs] for i in range(0, len(numbers), outputs)]
