"""Scores a version, its champion and a constant on the same holdout rows. Runs in the child process; it blocks."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.bundle.capi import Booster, LightGBMError
from shipway.bundle.datasets import read_window
from shipway.bundle.features import encode_table, encode_target
from shipway.bundle.metrics import score_metrics
from shipway.bundle.store import Bundle, read_bundle
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.signature import Signature
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

Matrix = npt.NDArray[np.float64]


class _Label(msgspec.Struct):
    shares: dict[str, float] = {}
    mean: float | None = None
    median: float | None = None


class _Report(msgspec.Struct):
    label: _Label


def measure(store: ObjectStore, allowed: DataSettings, digest: str, champion_digest: str | None) -> dict[str, Any]:
    """What verdict.Measured holds, as JSON-like data.

    Raises:
        Permanent: bundle or data do not allow it. Transient: they are away.
    """
    bundle = read_bundle(store, digest)
    table = read_window(store, bundle.spec, bundle.manifest.holdout_from, bundle.manifest.holdout_to, allowed)
    labels, has_label = encode_target(bundle.signature, table)
    rows, labels = table.filter(has_label), labels[has_label]
    result: dict[str, Any] = {
        "rows": len(labels),
        "set_aside": table.num_rows - len(labels),
        "metrics": {},
        "constant": {},
        "champion": {},
        "against_champion": {},
        "champion_problem": None,
    }
    if not len(labels):
        return result
    scores = _scores(bundle, encode_table(bundle.signature, rows))
    result["metrics"] = score_metrics(bundle.signature, labels, scores)
    result["constant"] = constant_metrics(bundle, labels)
    if champion_digest is not None:
        try:
            result |= _against(read_bundle(store, champion_digest), bundle.signature, rows, labels, scores)
        except Permanent as err:
            result["champion_problem"] = str(err)
    return result


def constant_metrics(bundle: Bundle, labels: Matrix) -> dict[str, float]:
    """The metrics of the best prediction that knows only the training labels.

    Raises:
        Permanent: the bundle's report does not tell of those.
    """
    try:
        label = msgspec.json.decode(bundle.files["report.json"], type=_Report).label
    except msgspec.MsgspecError as err:
        raise InvalidField("report.json", str(err)) from err
    signature, rows = bundle.signature, len(labels)
    if signature.output == "regression":
        if label.mean is None or label.median is None:
            raise InvalidField("report.json", "label needs mean and median")
        by_mean, by_median = (
            score_metrics(signature, labels, np.full((rows, 1), value)) for value in (label.mean, label.median)
        )
        return {"rmse": by_mean["rmse"], "mae": by_median["mae"]}
    if set(label.shares) != set(signature.classes):
        raise InvalidField("report.json", "label needs the share of every class")
    shares = np.array([label.shares[name] for name in signature.classes])
    given = shares[1:] if signature.output == "binary" else shares
    return score_metrics(signature, labels, np.tile(given, (rows, 1)))


def _against(champion: Bundle, signature: Signature, rows: Any, labels: Matrix, scores: Matrix) -> dict[str, Any]:
    theirs = champion.signature
    if (theirs.output, theirs.target) != (signature.output, signature.target):
        raise InvalidField("target", f"it predicts {theirs.target!r} ({theirs.output})")
    their_labels, known = encode_target(theirs, rows)
    if not known.any():
        raise InvalidField("target", "no row of the holdout has a label that it knows")
    their_scores = _scores(champion, encode_table(theirs, rows.filter(known)))
    return {
        "champion": score_metrics(theirs, their_labels[known], their_scores),
        "against_champion": score_metrics(signature, labels[known], scores[known]),
    }


def _scores(bundle: Bundle, features: Matrix) -> Matrix:
    try:
        booster = Booster(bundle.model_text)
        try:
            return booster.predict(features, bundle.signature.outputs_per_row)
        finally:
            booster.close()
    except LightGBMError as err:
        raise Permanent(f"LightGBM: {err}") from err
