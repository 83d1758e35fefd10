"""How good scores are against labels; each metric in the field's usual definition."""

import numpy as np
import numpy.typing as npt

from shipway.bundle.ranking import Ranked, ndcg_by_query
from shipway.contract.signature import Signature

Matrix = npt.NDArray[np.float64]
HIGHER_IS_BETTER = {"auc": True, "accuracy": True, "log_loss": False, "rmse": False, "mae": False, "ndcg": True}
_TINY = 1e-15


def score_metrics(
    signature: Signature, labels: Matrix, scores: Matrix, ranked: Ranked | None = None
) -> dict[str, float]:
    """The metrics of ``scores`` (rows, outputs) against ``labels`` (rows,): those that fit the output's kind.

    ``ranked`` says which rows of a ranking belong together; without it, it has no metrics. NaN where a metric is not
    defined (AUC with one class only).
    """
    if signature.output == "ranking":
        return {} if ranked is None else {"ndcg": _mean(ndcg_by_query(labels, scores[:, 0], ranked))}
    if signature.output == "regression":
        error = scores[:, 0] - labels
        return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    if signature.output == "binary":
        positive = scores[:, 0]
        chosen = np.where(labels == 1, positive, 1 - positive)
        return {
            "auc": auc(labels == 1, positive),
            "log_loss": _log_loss(chosen),
            "accuracy": float(np.mean((positive >= 0.5) == (labels == 1))),
        }
    chosen = scores[np.arange(len(labels)), labels.astype(int)]
    return {"log_loss": _log_loss(chosen), "accuracy": float(np.mean(scores.argmax(axis=1) == labels))}


def auc(positive: npt.NDArray[np.bool_], scores: Matrix) -> float:
    """The area under the ROC curve, as the Mann-Whitney statistic with ties counted half."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _mean(values: Matrix) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _log_loss(probability_of_truth: Matrix) -> float:
    return float(-np.mean(np.log(np.clip(probability_of_truth, _TINY, 1))))
