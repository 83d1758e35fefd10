"""Copies of what the champion answered, for a version that is a shadow: its answers are logged, and go to nobody.

A copy is made once the answer is on its way, and given up where there is any doubt of room for it: it must cost a
client nothing. It is asked once, of one instance, and what becomes of it is never the instance's failure.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from prometheus_client import Counter as Metric

from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.rowencoding import InvalidRows
from shipway.gateway.encoding import encoded_with_lookups
from shipway.gateway.featuretable import FeatureTable
from shipway.gateway.items import Item, Outcome
from shipway.gateway.routing import Route, Shadow, pick_instance
from shipway.gateway.upstream import Rows, Upstream
from shipway.runtime.http import Problem
from shipway.runtime.prediction_ids import as_text
from shipway.runtime.prediction_sink import PredictionSink

SHADOWS = Metric("shipway_gateway_shadows_total", "Requests for a shadow, by how they ended.", ["model", "outcome"])
ROLE = "shadow"


class Shadows:
    """Copies requests to shadows."""

    def __init__(self, upstream: Upstream, sink: PredictionSink, instance: str) -> None:
        self._upstream = upstream
        self._sink = sink
        self._instance = instance
        self._limits = upstream.limits
        self._rows: Counter[str] = Counter()

    def offer(self, route: Route, shadow: Shadow, sent: Rows, rows: Sequence[Any] | None, scores: bytes) -> None:
        """Copies such a share of what ``route`` answered with ``scores``; soon, and where there is room.

        ``rows`` are those of a request in JSON; None: only what was ``sent`` is known.
        """
        if random.random() >= shadow.share:
            return None
        if self._rows[route.model] + sent.count > self._limits.shadow_rows:
            return self._count(shadow.route, "dropped")
        self._rows[route.model] += sent.count
        asyncio.get_running_loop().call_soon(self._copy, route, shadow.route, sent, rows, scores)
        return None

    def _copy(self, champion: Route, route: Route, sent: Rows, rows: Sequence[Any] | None, scores: bytes) -> None:
        registry = self._upstream.registry
        instance = pick_instance(self._upstream.holders(route), registry.busy.__getitem__, random.randrange, ())
        if instance is None or registry.busy[instance.name] >= self._limits.shadow_busy:
            return self._over(route, sent, "dropped")
        values = _encoded(champion, route, sent, rows, registry.features)
        if values is None:
            return self._over(route, sent, "misfit")
        loop = asyncio.get_running_loop()

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, tuple):
                self._over(route, sent, "answered")
            else:
                self._over(route, sent, "failed")
                self._record(route, sent, str(outcome) or type(outcome).__name__)

        item = Item(
            values,
            sent.count,
            sent.ids,
            sent.trace_id,
            sent.client_ids,
            ROLE,
            route.generation,
            loop.time() + self._limits.request_timeout_ms / 1000,
            settled,
        )
        item.beside = scores
        self._upstream.lines.lane(instance, route).put(item)
        return None

    def _over(self, route: Route, sent: Rows, outcome: str) -> None:
        self._rows[route.model] -= sent.count
        self._count(route, outcome)

    def _count(self, route: Route, outcome: str) -> None:
        SHADOWS.labels(route.model, outcome).inc()

    def _record(self, route: Route, sent: Rows, reason: str) -> None:
        for i, one in enumerate(as_text(sent.ids)):
            self._sink.put(
                PredictionRecord(
                    prediction_id=one,
                    at=datetime.now(UTC),
                    model=route.model,
                    version=route.version,
                    generation=route.generation,
                    instance=self._instance,
                    role=ROLE,
                    outcome="failed",
                    reason=reason[:500],
                    latency_us=0,
                    client_id=sent.client_ids[i] if sent.client_ids else None,
                    trace_id=sent.trace_id.hex(),
                    features=None,
                    scores=None,
                )
            )


def _encoded(
    champion: Route, route: Route, sent: Rows, rows: Sequence[Any] | None, features: FeatureTable
) -> bytes | None:
    """The rows as the shadow takes them, which may know other features or categories, or look others up; None where it
    can't.
    """
    theirs, ours = champion.signature, route.signature
    if theirs.features == ours.features and (rows is None or theirs.lookups == ours.lookups):
        return sent.values
    if rows is None:
        return None
    try:
        numbers, _ = encoded_with_lookups(route.model, route.encoder, rows, features)
    except (InvalidRows, Problem):
        return None
    return np.array(numbers, "<f8").tobytes()
