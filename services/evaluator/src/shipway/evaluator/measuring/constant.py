"""What a prediction that knows only the training labels would score: the least that a version must beat."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.bundle.metrics import score_metrics
from shipway.bundle.ranking import Ranked
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Signature

Matrix = npt.NDArray[np.float64]


class Labels(msgspec.Struct):
    """The training labels, as a bundle's report tells of them."""

    shares: dict[str, float] = {}
    mean: float | None = None
    median: float | None = None


class TrainingReport(msgspec.Struct):
    """What is read of a bundle's ``report.json``."""

    label: Labels
    rounds: int = 100
    rows: int | None = None
    validation_rows: int | None = None
    set_aside_rows: dict[str, int] = {}
    params: dict[str, Any] = {}
    validation_metrics: dict[str, float] = {}
    importance_gain: dict[str, float] = {}
    history: dict[str, Any] | None = None


def training_report(files: Mapping[str, bytes]) -> TrainingReport:
    """A bundle's own report.

    Raises:
        Permanent: it is not one.
    """
    try:
        return msgspec.json.decode(files["report.json"], type=TrainingReport)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise InvalidField("report.json", str(err)) from err


def constant_scores(signature: Signature, label: Labels, rows: int, metric: str) -> Matrix:
    """The scores (rows, outputs) of the constant that does best by ``metric``; of a ranking any is a random order.

    Raises:
        Permanent: the report does not tell of the labels.
    """
    if signature.output == "ranking":
        return np.zeros((rows, 1))
    if signature.output == "regression":
        value = label.median if metric == "mae" else label.mean
        if value is None:
            raise InvalidField("report.json", "label needs mean and median")
        return np.full((rows, 1), value)
    if set(label.shares) != set(signature.classes):
        raise InvalidField("report.json", "label needs the share of every class")
    shares = np.array([label.shares[name] for name in signature.classes])
    return np.tile(shares[1:] if signature.output == "binary" else shares, (rows, 1))


def constant_metrics(
    signature: Signature, label: Labels, labels: Matrix, ranked: Ranked | None = None
) -> dict[str, float]:
    """Each metric of the constant that does best by it. Raises as constant_scores."""
    scores = constant_scores(signature, label, len(labels), "rmse")
    found = score_metrics(signature, labels, scores, ranked)
    if "mae" in found:
        found["mae"] = score_metrics(signature, labels, constant_scores(signature, label, len(labels), "mae"))["mae"]
    return found
