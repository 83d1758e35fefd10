"""What a bundle says of its model besides the model: the training report, golden rows, reference rows."""

import math
from typing import Any

import numpy as np

from shipway.bundle.boosting import Matrix, Prepared, Trained
from shipway.bundle.golden import encode_golden
from shipway.bundle.manifest import Windows
from shipway.bundle.metrics import score_metrics
from shipway.bundle.ranking import ranked
from shipway.bundle.referencedays import days_of_sample
from shipway.contract.rowencoding import UNSEEN
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec

GOLDEN_ROWS = 64
REFERENCE_ROWS = 5000


def report_of(
    spec: ModelSpec,
    signature: Signature,
    windows: Windows,
    prepared: Prepared,
    set_aside: dict[str, int],
    model: Trained,
) -> dict[str, Any]:
    """The training report, as JSON-like data."""
    rows, names = len(prepared.labels), [f.name for f in signature.features]
    missing = np.isnan(prepared.features).mean(axis=0)
    return {
        "model": spec.name,
        "windows": {
            "train_from": windows.train_from.isoformat(),
            "train_to": windows.train_to.isoformat(),
            "holdout_from": windows.holdout_from.isoformat(),
            "holdout_to": windows.holdout_to.isoformat(),
        },
        "rows": rows,
        "validation_rows": prepared.validation_rows,
        "set_aside_rows": set_aside,
        "label": _label(signature, prepared.labels),
        "rounds": model.rounds,
        "params": spec.training.params,
        "validation_metrics": _validation_metrics(spec, signature, prepared, model),
        "importance_gain": dict(sorted(zip(names, model.gains, strict=True), key=lambda pair: -pair[1])),
        "missing_share": dict(zip(names, missing.tolist(), strict=True)),
    }


def golden_file(spec: ModelSpec, signature: Signature, prepared: Prepared, model: Trained) -> bytes:
    """``golden.parquet``: rows that every holder of the model must score alike, odd ones among them."""
    rng = np.random.default_rng(spec.training.seed)
    features = prepared.features
    gaps = np.flatnonzero(np.isnan(features).any(axis=1))
    picked = [_sample(rng, np.arange(len(features)), GOLDEN_ROWS - 18), _sample(rng, gaps, 16)]
    all_missing = np.full((1, features.shape[1]), np.nan)
    unseen = features[:1].copy()
    unseen[0, [f.type == "category" for f in signature.features]] = UNSEEN
    rows = np.ascontiguousarray(np.vstack([features[np.concatenate(picked)], all_missing, unseen]))
    return encode_golden(rows, model.scores(rows))


def reference_file(spec: ModelSpec, prepared: Prepared, model: Trained) -> bytes:
    """``reference.parquet``: a sample of the training rows and their scores, in the order of time; and of which
    days they are.
    """
    chosen = _sample(np.random.default_rng(spec.training.seed), np.arange(len(prepared.labels)), REFERENCE_ROWS)
    rows = np.ascontiguousarray(prepared.features[chosen])
    return encode_golden(rows, model.scores(rows), days_of_sample(prepared.days, chosen))


def _sample(rng: np.random.Generator, indices: Any, size: int) -> Any:
    return np.sort(rng.choice(indices, min(size, len(indices)), replace=False))


def _label(signature: Signature, labels: Matrix) -> dict[str, Any]:
    """What a model that knows no features would say: the share of each class, or mean and median."""
    if not signature.classes:
        return {"mean": float(labels.mean()), "median": float(np.median(labels))}
    counts = np.bincount(labels.astype(int), minlength=len(signature.classes))
    return {"shares": dict(zip(signature.classes, (counts / len(labels)).tolist(), strict=True))}


def _validation_metrics(spec: ModelSpec, signature: Signature, prepared: Prepared, model: Trained) -> dict[str, float]:
    cut = len(prepared.labels) - prepared.validation_rows
    if not prepared.validation_rows:
        return {}
    how = None if prepared.queries is None else ranked(spec, prepared.queries[cut:])
    found = score_metrics(signature, prepared.labels[cut:], model.scores(prepared.features[cut:]), how)
    return {name: value for name, value in found.items() if math.isfinite(value)}
