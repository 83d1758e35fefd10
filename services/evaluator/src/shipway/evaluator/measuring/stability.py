"""How far chance moves the model: quick trainings on resampled rows with other seeds, each scored on the holdout."""

import math
import time

import numpy as np
import numpy.typing as npt

from shipway.bundle.boosting import Prepared, boost
from shipway.bundle.metrics import score_metrics
from shipway.bundle.ranking import Codes, ranked
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec
from shipway.evaluator.facts import Stability

Matrix = npt.NDArray[np.float64]
Rows = tuple[Matrix, Matrix, Codes | None]  # features (rows, features), labels (rows,), queries (rows,) of a ranking
MAX_ROUNDS = 100
MAX_TREES = 2000
MAX_HOLDOUT_ROWS = 50_000


class _OutOfTime(Exception):  # noqa: N818  ends a training from within
    """The processor time is used up."""


def stability(spec: ModelSpec, signature: Signature, rounds: int, train: Rows, holdout: Rows) -> Stability:
    """Trains ``gates.stability_runs`` models on rows (of a ranking, queries) drawn with replacement.

    ``rounds`` are the version's own. It ends when ``gates.stability_time`` of processor time is used: a machine that
    is busy, or a process that is paused, must not change a verdict.

    Raises:
        Permanent: LightGBM refuses the parameters or the data.
    """
    gates, size = spec.gates, min(spec.gates.stability_rows, len(train[1]))
    quick = max(1, min(rounds, MAX_ROUNDS, MAX_TREES // signature.outputs_per_row))
    ends = time.process_time() + gates.stability_time.total_seconds()

    def on_round(_done: int, _rounds: int) -> None:
        if time.process_time() > ends:
            raise _OutOfTime

    figures = []
    try:
        for run in range(1, gates.stability_runs + 1):
            seed = spec.training.seed + run
            drawn, queries = _drawn(np.random.default_rng(seed), size, train)
            changed = {"rounds": quick, "early_stopping_rounds": None, "validation": 0.0, "seed": seed % 2**31}
            other = spec.model_copy(update={"training": spec.training.model_copy(update=changed)})
            model = boost(other, signature, Prepared(train[0][drawn], train[1][drawn], 0, queries=queries), 1, on_round)
            rows, labels, theirs = _first(MAX_HOLDOUT_ROWS, holdout)
            figure = score_metrics(signature, labels, model.scores(rows), ranked(spec, theirs))[spec.metric]
            if math.isfinite(figure):
                figures.append(figure)
    except _OutOfTime:
        problem = f"{len(figures)} of {gates.stability_runs} trainings were done when the time was used up"
        return Stability(figures, size, quick, problem)
    return Stability(figures, size, quick)


def _first(most: int, rows: Rows) -> Rows:
    features, labels, queries = rows
    return features[:most], labels[:most], None if queries is None else queries[:most]


def _drawn(rng: np.random.Generator, size: int, rows: Rows) -> tuple[Codes, Codes | None]:
    """Places of about so many rows, drawn with replacement, and their queries; one that is drawn twice is two."""
    _, labels, queries = rows
    if queries is None:
        return rng.integers(0, len(labels), size), None
    _, begins, sizes = np.unique(queries, return_index=True, return_counts=True)
    chosen = rng.integers(0, len(begins), max(1, round(size * len(begins) / len(queries))))
    places = [np.arange(begins[one], begins[one] + sizes[one]) for one in chosen]
    return np.concatenate(places), np.repeat(np.arange(len(chosen)), sizes[chosen])
