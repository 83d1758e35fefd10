"""How long a row's prediction takes, and the loading before it, in the judging process."""

import time

import numpy as np
import numpy.typing as npt

from shipway.bundle.capi import Booster
from shipway.evaluator.facts import Latency

Matrix = npt.NDArray[np.float64]
ROUNDS, ROWS = 5, 100


def latency(booster: Booster, outputs: int, rows: Matrix, load_s: float) -> Latency:
    """Predicts ``rows`` (rows, features) one by one, in rounds; the calmest round counts, as other work disturbs it."""
    best = (float("inf"), float("inf"))
    for _ in range(ROUNDS):
        taken = []
        for row in rows[:ROWS]:
            begun = time.perf_counter()
            booster.predict(row.reshape(1, -1), outputs)
            taken.append(time.perf_counter() - begun)
        p95, p50 = (float(v) for v in np.quantile(taken, [0.95, 0.5]))
        best = min(best, (p95, p50))
    return Latency(p50_ms=1000 * best[1], p95_ms=1000 * best[0], load_ms=1000 * load_s)
