"""Whether predictions mean what they say: in bins of equally many rows, mean prediction against what was observed.

The figure is the expected calibration error with equal-mass bins, which moves less with the binning than equal-width
ones do (Nixon et al., 2019). Of several classes it is that of the class named; of a regression the gap is counted in
standard deviations of the target.
"""

import numpy as np
import numpy.typing as npt

from shipway.contract.signature import OutputKind
from shipway.evaluator.facts import Calibration, CalibrationBin

Matrix = npt.NDArray[np.float64]
BINS = 10
MIN_ROWS = 100


def calibration(output: OutputKind, labels: Matrix, scores: Matrix) -> Calibration | None:
    """The calibration of ``scores`` (rows, outputs) for ``labels`` (rows,); None where there are too few rows, and
    of a ranking, whose scores state nothing that could be observed.
    """
    if output == "ranking" or len(labels) < MIN_ROWS or not np.isfinite(scores).all():
        return None
    if output == "multiclass":
        predicted, observed = scores.max(axis=1), (scores.argmax(axis=1) == labels).astype(np.float64)
    else:
        predicted, observed = scores[:, 0], labels
    unit = float(observed.std()) if output == "regression" else 1.0
    order = np.argsort(predicted, kind="stable")
    bins = [
        CalibrationBin(len(part), float(predicted[part].mean()), float(observed[part].mean()))
        for part in np.array_split(order, BINS)
    ]
    gap = sum(b.rows * abs(b.predicted - b.observed) for b in bins) / len(labels)
    return Calibration(gap / (unit or 1.0), bins)
