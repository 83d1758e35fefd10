"""How much of the target each feature alone tells: one that tells nearly all is the answer in disguise (a leak).

The target's mean, or its classes' shares, in 64 bins of a feature are learnt on training rows and held against the
holdout's labels. 0 is no better than a constant, 1 is the whole target: 2 AUC - 1 for binary, the share of wrong
answers that it saves for several classes, R² for regression.
"""

import numpy as np
import numpy.typing as npt

from shipway.bundle.metrics import auc
from shipway.contract.signature import Signature

Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
BINS = 64
MOST = 500
_PRIOR_ROWS = 5.0


def telling(
    signature: Signature, train: Matrix, train_labels: Matrix, rows: Matrix, labels: Matrix
) -> dict[str, float]:
    """By feature, how much it tells, the most first; features (rows, features), labels (rows,).

    Empty where no rows are given; of very many features those that tell the most.
    """
    if not len(train) or not len(rows):
        return {}
    found = {}
    for i, feature in enumerate(signature.features):
        codes, ours = _codes(train[:, i], rows[:, i], as_is=feature.type != "number")
        power = _power(signature, codes, train_labels, ours, labels)
        if np.isfinite(power):
            found[feature.name] = float(np.clip(power, 0.0, 1.0))
    return dict(sorted(found.items(), key=lambda item: -item[1])[:MOST])


def _codes(train: Matrix, rows: Matrix, *, as_is: bool) -> tuple[Codes, Codes]:
    """Bins, the missing values in one of their own. Categories and booleans are numbered already, from -1 on."""
    if as_is:
        return tuple(np.nan_to_num(v + 2, nan=0).astype(np.int64) for v in (train, rows))  # type: ignore[return-value]
    known = train[np.isfinite(train)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)
    binned = (np.where(np.isfinite(v), np.searchsorted(edges, v, side="right") + 1, 0) for v in (train, rows))
    return tuple(b.astype(np.int64) for b in binned)  # type: ignore[return-value]


def _power(signature: Signature, codes: Codes, train_labels: Matrix, ours: Codes, labels: Matrix) -> float:
    size = int(max(codes.max(), ours.max())) + 1
    counts = np.bincount(codes, minlength=size)
    if signature.output == "multiclass":
        classes = len(signature.classes)
        table = np.bincount(codes * classes + train_labels.astype(np.int64), minlength=size * classes)
        named = table.reshape(size, classes).argmax(axis=1)[ours]
        named[counts[ours] == 0] = np.bincount(train_labels.astype(np.int64)).argmax()
        usual = np.bincount(labels.astype(np.int64)).max() / len(labels)
        return float((np.mean(named == labels) - usual) / (1 - usual)) if usual < 1 else float("nan")
    mean = float(train_labels.mean())
    sums = np.bincount(codes, weights=train_labels, minlength=size)
    guess = ((sums + _PRIOR_ROWS * mean) / (counts + _PRIOR_ROWS))[ours]
    if signature.output == "binary":
        return 2 * auc(labels == 1, guess) - 1
    spread = float(((labels - labels.mean()) ** 2).sum())
    return 1 - float(((labels - guess) ** 2).sum()) / spread if spread else float("nan")
