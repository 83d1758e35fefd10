"""How far chance moves the model: quick trainings on resampled rows with other seeds, each scored on the holdout."""

import math
import time

import numpy as np
import numpy.typing as npt

from shipway.bundle.boosting import Prepared, boost
from shipway.bundle.metrics import score_metrics
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec
from shipway.evaluator.facts import Stability

Matrix = npt.NDArray[np.float64]
MAX_ROUNDS = 100
MAX_TREES = 2000
MAX_HOLDOUT_ROWS = 50_000


class _OutOfTime(Exception):  # noqa: N818  ends a training from within
    """The processor time is used up."""


def stability(
    spec: ModelSpec, signature: Signature, rounds: int, train: tuple[Matrix, Matrix], holdout: tuple[Matrix, Matrix]
) -> Stability:
    """Trains ``gates.stability_runs`` models on rows drawn with replacement; ``train``, ``holdout``: features, labels.

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
            drawn = np.random.default_rng(seed).integers(0, len(train[1]), size)
            changed = {"rounds": quick, "early_stopping_rounds": None, "validation": 0.0, "seed": seed % 2**31}
            other = spec.model_copy(update={"training": spec.training.model_copy(update=changed)})
            model = boost(other, signature, Prepared(train[0][drawn], train[1][drawn], 0), 1, on_round)
            rows, labels = (part[:MAX_HOLDOUT_ROWS] for part in holdout)
            figure = score_metrics(signature, labels, model.scores(rows))[spec.metric]
            if math.isfinite(figure):
                figures.append(figure)
    except _OutOfTime:
        problem = f"{len(figures)} of {gates.stability_runs} trainings were done when the time was used up"
        return Stability(figures, size, quick, problem)
    return Stability(figures, size, quick)
