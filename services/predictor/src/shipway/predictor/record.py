"""What an answer leaves behind: the instance's counts, its latency, and a record a row for the prediction log."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from prometheus_client import Histogram

from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.rows import Matrix
from shipway.predictor.held import Serving
from shipway.runtime.prediction_sink import PredictionSink

SECONDS = Histogram(
    "shipway_predictor_seconds",
    "Seconds from an ask to its answer.",
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)


class Recorder:
    """Puts answers on record."""

    def __init__(self, sink: PredictionSink, instance: str) -> None:
        self._sink = sink
        self._instance = instance

    def answered(
        self,
        serving: Serving,
        rows: Matrix,
        scores: Matrix,
        *,
        prediction_ids: Sequence[str],
        trace_ids: Sequence[str | None],
        client_ids: Sequence[str | None] | None,
        role: str,
        generation: int,
        begun: float,
    ) -> None:
        """Records answered rows (rows, features) with their scores (rows, outputs); ``begun`` by perf_counter."""
        serving.answered += len(rows)
        seconds = time.perf_counter() - begun
        SECONDS.observe(seconds)
        now, latency_us = datetime.now(UTC), round(1e6 * seconds)
        keep = _features_kept(serving)
        values, numbers = rows.tolist(), scores.tolist()
        self._sink.put_answered(
            [
                PredictionRecord(
                    prediction_id=prediction_id,
                    at=now,
                    model=serving.model,
                    version=serving.version.version,
                    generation=generation,
                    instance=self._instance,
                    role=role or serving.version.role,
                    outcome="answered",
                    reason=None,
                    latency_us=latency_us,
                    client_id=client_ids[i] if client_ids else None,
                    trace_id=trace_ids[i],
                    features=keep(values[i]),
                    scores=numbers[i],
                )
                for i, prediction_id in enumerate(prediction_ids)
            ]
        )


def _features_kept(serving: Serving) -> Callable[[list[float]], list[float] | None]:
    """What the model's log rules leave of a row: a sample of the rows, without the redacted features."""
    rules = serving.version.prediction_log
    share = float(rules.get("sample", 1.0))
    hidden = set(rules.get("redact", ()))
    if share >= 1.0 and not hidden:
        return lambda row: row
    redacted = [i for i, f in enumerate(serving.loaded.signature.features) if f.name in hidden]

    def keep(row: list[float]) -> list[float] | None:
        if share < 1.0 and random.random() >= share:
            return None
        for index in redacted:
            row[index] = float("nan")
        return row

    return keep
