"""How sure a difference in a metric is: two versions on the same rows, and the interval that chance stays within.

A metric is taken apart into what each row adds to it (its influence). The rows of two versions are subtracted one by
one, so that what makes a row hard for both cancels out. For AUC this is DeLong, DeLong and Clarke-Pearson (1988).
Rows of one hour err together, so neighbours in time are summed to blocks before squaring, as Obuchowski (1997) does
with clusters; the ends are Student's, with a degree of freedom less than there are blocks. Of a ranking a query counts
as a row does of other targets: its rows have one figure together.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from shipway.bundle.metrics import HIGHER_IS_BETTER
from shipway.bundle.ranking import Ranked, ndcg_by_query
from shipway.contract.signature import OutputKind
from shipway.evaluator.facts import Difference

Matrix = npt.NDArray[np.float64]
Side = tuple[Matrix, Matrix]  # labels (rows,), scores (rows, outputs)
BLOCKS = 30
MIN_OF_A_CLASS = 10
_TINY = 1e-15


def difference(
    metric: str, output: OutputKind, ours: Side, theirs: Side, confidence: float, ranked: Ranked | None = None
) -> Difference | None:
    """By how much ``ours`` is better than ``theirs``; None where the metric is not defined.

    Args:
        metric: one of bundle.metrics; ``output`` says what labels and scores mean, as there.
        ours, theirs: of the same rows in the order of time, each with labels by its own classes.
        confidence: of each end alone, such as 0.95.
        ranked: of a ranking, which of the rows belong together, numbered in the order of time.
    """
    figure, added = influence(metric, output, *ours, ranked)
    other, taken = influence(metric, output, *theirs, ranked)
    labels = ours[0]
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    better = sign * (figure - other)
    if not math.isfinite(better):
        return None
    if len(added) < BLOCKS or (metric == "auc" and min(labels.sum(), (1 - labels).sum()) < MIN_OF_A_CLASS):
        return Difference(better)
    blocks = np.array([block.sum() for block in np.array_split(added - taken, BLOCKS)])
    error = math.sqrt(BLOCKS / (BLOCKS - 1) * float((blocks**2).sum()))
    reach = float(stdtrit(BLOCKS - 1, confidence)) * error
    return Difference(better, better - reach, better + reach) if math.isfinite(reach) else Difference(better)


def influence(
    metric: str, output: OutputKind, labels: Matrix, scores: Matrix, ranked: Ranked | None = None
) -> tuple[float, Matrix]:
    """The metric, and what each row (of a ranking, each query that tells) adds to its error: sums to zero, and the sum
    of its squares is the variance.
    """
    rows = len(labels)
    if metric == "auc":
        return _auc(labels == 1, scores[:, 0])
    if metric == "ndcg":
        each = np.empty(0) if ranked is None else ndcg_by_query(labels, scores[:, 0], ranked)
        rows = len(each)
    elif metric in ("rmse", "mae"):
        error = scores[:, 0] - labels
        each = np.abs(error) if metric == "mae" else error**2
    elif metric == "log_loss":
        each = -np.log(np.clip(_of_truth(output, labels, scores), _TINY, 1))
    else:
        named = scores[:, 0] >= 0.5 if output == "binary" else scores.argmax(axis=1)
        each = (named == labels).astype(np.float64)
    if not rows:
        return math.nan, each
    mean = float(each.mean())
    if metric != "rmse":
        return mean, (each - mean) / rows
    root = math.sqrt(mean)
    return root, (each - mean) / (2 * root * rows) if root else np.zeros(rows)


def _of_truth(output: OutputKind, labels: Matrix, scores: Matrix) -> Matrix:
    if output == "binary":
        return np.where(labels == 1, scores[:, 0], 1 - scores[:, 0])
    return np.asarray(scores[np.arange(len(labels)), labels.astype(int)])


def _auc(positive: npt.NDArray[np.bool_], scores: Matrix) -> tuple[float, Matrix]:
    """A positive row's part is the share of negatives below it, a negative one's the share of positives above it."""
    values, place = np.unique(scores, return_inverse=True)
    up = np.bincount(place[positive], minlength=len(values)).astype(np.float64)
    down = np.bincount(place[~positive], minlength=len(values)).astype(np.float64)
    ups, downs = float(up.sum()), float(down.sum())
    if not ups or not downs:
        return math.nan, np.zeros(len(scores))
    below = (np.cumsum(down) - down / 2) / downs
    above = 1 - (np.cumsum(up) - up / 2) / ups
    area = float((up * below).sum() / ups)
    return area, np.where(positive, (below[place] - area) / ups, (above[place] - area) / downs)
