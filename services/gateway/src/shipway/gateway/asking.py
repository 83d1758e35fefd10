"""What every way of asking for predictions shares: the route, the call, and the record of what was not answered."""

import difflib
import os
import random
import time
import uuid
from datetime import UTC, datetime

from prometheus_client import Counter, Histogram

from shipway.contract.predictionlog import Outcome, PredictionRecord
from shipway.gateway.registry import Registry
from shipway.gateway.routing import Route
from shipway.gateway.settings import LimitSettings
from shipway.gateway.upstream import Upstream
from shipway.runtime import log, trace
from shipway.runtime.http import Problem
from shipway.runtime.prediction_sink import PredictionSink

_log = log.get(__name__)
REQUESTS = Counter("shipway_gateway_requests_total", "Prediction requests, by how they ended.", ["model", "outcome"])
SECONDS = Histogram(
    "shipway_gateway_seconds",
    "Seconds from request to answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class Asked:
    """One request for one model's predictions, as far as it is known by the time it ends."""

    __slots__ = ("begun", "client_ids", "ids", "model", "route")

    def __init__(self, model: str) -> None:
        self.model = model
        self.begun = time.perf_counter()
        self.route: Route | None = None
        self.ids: list[str] = []
        self.client_ids: list[str] | None = None


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

    async def route(self, asked: Asked) -> Route:
        """The version that answers, by the shares; waits for one within the patience.

        Raises:
            Problem: 404 no such model, 503 nobody can answer for it now.
        """
        model = asked.model
        until = time.monotonic() + self.limits.patience_ms / 1000
        while (routes := self.registry.routes.get(model)) is None and not self.registry.read:
            # A model that is not known yet is not one that does not exist.
            if not await self.registry.changes(until):
                raise starting()
        if routes is None:
            raise self._unknown(model)
        while (route := routes.choose(random.random())) is None:
            if not await self.registry.changes(until):
                raise Problem(503, f"no instance can answer for {model} now; see GET /models/{model}", retry_after_s=1)
            routes = self.registry.routes.get(model, routes)
        asked.route = route
        return route

    async def scores(
        self, asked: Asked, rows: list[list[float]], trace_id: bytes, client_ids: list[str] | None = None
    ) -> list[list[float]]:
        """The scores, a list a row, of encoded rows, by the version that the request was routed to; gives it its ids.

        Raises:
            Problem: 502, 503 or 504, as of Upstream.infer.
        """
        assert asked.route is not None, "a request is routed before it is scored"
        joined = os.urandom(16 * len(rows))
        asked.ids = [joined[i : i + 16].hex() for i in range(0, len(joined), 16)]
        asked.client_ids = client_ids
        return await self._upstream.infer(asked.route, rows, joined, trace_id, client_ids)

    def answered(self, asked: Asked) -> None:
        """Counts a request that was answered."""
        REQUESTS.labels(asked.model, "answered").inc()
        SECONDS.observe(time.perf_counter() - asked.begun)

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
        now, trace_id = datetime.now(UTC), trace.trace_id(trace.current())
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
