"""The spans of predictions: a share of them, and the first answer of each version, in the trace that made it.

Only where spans are exported; the hot path asks for nothing but whether that is so.
"""

import time
from collections.abc import Mapping

from shipway.contract.envelope import Envelope
from shipway.gateway.asked import Asked
from shipway.runtime import trace
from shipway.runtime.trace import Span


class PredictionSpans:
    """Tells of answered predictions. ``sample``: the share that is told, chosen by the trace, so the same everywhere.

    ``desired`` has the newest desired state of each model, with its trace.
    """

    def __init__(self, sample: float, desired: Mapping[str, Envelope]) -> None:
        self._below = round(sample * 2**32)
        self._desired = desired
        self._seen: set[tuple[str, int]] = set()

    def answered(self, asked: Asked) -> None:
        """Tells of an answer, if it is among the share, or its version's first one here."""
        assert asked.route is not None, "a request is routed before it is answered"
        version = (asked.route.model, asked.route.version)
        first = version not in self._seen
        if not first and int(asked.span[3:11], 16) >= self._below:
            return
        self._seen.add(version)
        ended_ns = time.time_ns()
        begun_ns = ended_ns - round(1e9 * (time.perf_counter() - asked.begun))
        about: dict[str, str | int] = {"model": version[0], "version": version[1], "rows": len(asked.ids)}
        parent = asked.parent if trace.trace_id(asked.parent) else None
        trace.tell(Span("predict", asked.span, parent, begun_ns, ended_ns, "server", about))
        state = self._desired.get(version[0])
        if first and state is not None and state.traceparent is not None:
            span = trace.child(state.traceparent)
            links = (asked.span,)
            trace.tell(Span("first prediction", span, state.traceparent, begun_ns, ended_ns, "server", about, links))
