"""How requests ended: counted, and put on record where nobody got an answer."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from shipway.contract.predictionlog import Outcome, PredictionRecord
from shipway.gateway.asked import Asked
from shipway.gateway.registry import Registry
from shipway.runtime import log
from shipway.runtime.hotmetrics import HotCounter, HotHistogram
from shipway.runtime.http import Problem
from shipway.runtime.prediction_sink import PredictionSink

_log = log.get(__name__)
REQUESTS = HotCounter("shipway_gateway_requests_total", "Prediction requests, by how they ended.", ["model", "outcome"])
SECONDS = HotHistogram(
    "shipway_gateway_seconds",
    "Seconds from request to answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class Endings:
    """Is told of each request once, as it ends. ``on_answered`` hears of those that were answered."""

    def __init__(self, registry: Registry, sink: PredictionSink, instance: str) -> None:
        self._registry = registry
        self._sink = sink
        self._instance = instance
        self._answered: dict[str, HotCounter] = {}
        self.on_answered: Callable[[Asked], None] | None = None

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
        if asked.model not in self._registry.routes:
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

    def _label(self, model: str) -> str:
        """The model's name as a metric's label; names that clients make up must not fill the memory."""
        return model if model in self._registry.routes else "unknown"
