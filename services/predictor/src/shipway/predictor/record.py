"""What an answer leaves behind: the instance's counts, its latency, and a record a row for the prediction log."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from shipway.contract.latency import bucket
from shipway.contract.predictionlog import AnsweredRows
from shipway.contract.rows import Matrix
from shipway.predictor.held import Serving
from shipway.runtime.hotmetrics import HotHistogram
from shipway.runtime.prediction_sink import PredictionSink

SECONDS = HotHistogram(
    "shipway_predictor_seconds",
    "Seconds from an ask to its answer.",
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)

_random = np.random.default_rng()


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
        prediction_ids: Sequence[str] | bytes,
        trace_ids: Sequence[str | None] | bytes,
        client_ids: Sequence[str | None] | None,
        role: str,
        generation: int,
        begun: float,
    ) -> None:
        """Records answered rows (rows, features) with their scores (rows, outputs); ``begun`` by perf_counter.

        Both are kept until they are written, and must not change.
        """
        serving.answered += len(rows)
        seconds = time.perf_counter() - begun
        SECONDS.observe(seconds)
        if len(rows) == 1:
            serving.latency[bucket(1e6 * seconds)] += 1
        features, sampled = _features_kept(serving, rows)
        self._sink.put_answered(
            AnsweredRows(
                prediction_ids=prediction_ids,
                trace_ids=trace_ids,
                client_ids=client_ids,
                at=datetime.now(UTC),
                model=serving.model,
                version=serving.version.version,
                generation=generation,
                instance=self._instance,
                role=role or serving.version.role,
                latency_us=round(1e6 * seconds),
                features=features,
                sampled=sampled,
                scores=scores,
            )
        )


def _features_kept(serving: Serving, rows: Matrix) -> tuple[Matrix, npt.NDArray[np.bool_] | None]:
    """What the model's log rules leave of the rows: the redacted features are missing; whose are kept, None for all."""
    rules = serving.version.prediction_log
    share = float(rules.get("sample", 1.0))
    hidden = set(rules.get("redact", ()))
    sampled = None if share >= 1.0 else _random.random(len(rows)) < share
    if hidden:
        rows = rows.copy()
        rows[:, [i for i, f in enumerate(serving.loaded.signature.features) if f.name in hidden]] = np.nan
    return rows, sampled
