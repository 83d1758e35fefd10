"""What the report shows besides the figures: curves for its plots, and which data they come from; for no gate."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.bundle.manifest import Windows
from shipway.bundle.ranking import ndcg_by_query, ranked
from shipway.bundle.sourcestate import source_files
from shipway.evaluator.measuring.constant import training_report
from shipway.evaluator.measuring.holdout import Scored
from shipway.evaluator.measuring.overlap import content_digest, row_hashes
from shipway.evaluator.measuring.scoring import Labelled
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

Matrix = npt.NDArray[np.float64]
POINTS = 60
BINS = 30
CLASSES = 20
FEATURES = 50
HASHED_BYTES = 2_000_000_000
MAX_FILES = 1000


def exhibits(store: ObjectStore, allowed: DataSettings, scored: Scored) -> dict[str, Any]:
    """Curves and data, as JSON-like data of bounded size.

    Raises:
        Permanent, Transient: the data's files can't be read.
    """
    return {"curves": curves(scored), "data": _data(store, allowed, scored), "training": _training(scored)}


def curves(scored: Scored) -> dict[str, Any]:
    """What the plots are drawn from, by the output's kind."""
    signature, labels, scores = scored.bundle.signature, scored.holdout.labels, scored.scores
    if not len(labels) or not np.isfinite(scores).all():
        return {}
    if signature.output == "binary":
        found: dict[str, Any] = {"roc": {"version": _roc(labels, scores[:, 0])}}
        if scored.against is not None:
            found["roc"]["champion"] = _roc(*(part.ravel() for part in scored.against.side(scored.against.known)))
        edges = np.linspace(0, 1, BINS + 1)
        parts = {name: scores[labels == i, 0] for i, name in enumerate(signature.classes)}
        return found | {"scores": _histogram(parts, edges)}
    if signature.output == "multiclass":
        return {"confusion": _confusion(signature.classes, labels, scores)}
    if signature.output == "ranking":
        return {"queries": _by_query(scored)}
    errors = {"version": scores[:, 0] - labels}
    if scored.against is not None:
        known, theirs = scored.against.side(scored.against.known)
        errors["champion"] = theirs[:, 0] - known
    reach = float(np.quantile(np.abs(errors["version"]), 0.99)) or 1.0
    return {"errors": _histogram(errors, np.linspace(-reach, reach, BINS + 1))}


def _by_query(scored: Scored) -> dict[str, Any]:
    """How NDCG spreads over the queries."""
    how = ranked(scored.bundle.spec, scored.holdout.queries)
    if how is None:
        return {}
    parts = {"version": ndcg_by_query(scored.holdout.labels, scored.scores[:, 0], how)}
    if scored.against is not None:
        known, theirs = scored.against.side(scored.against.known)
        parts["champion"] = ndcg_by_query(known, theirs[:, 0], how.of(scored.against.known))
    return _histogram(parts, np.linspace(0, 1, BINS + 1))


def _training(scored: Scored) -> dict[str, Any]:
    """What the bundle's own report says of the training; of very many features the most important."""
    told = training_report(scored.bundle.files)
    most = sorted(told.importance_gain.items(), key=lambda item: -item[1])[:FEATURES]
    shown: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(told, importance_gain=dict(most)))
    return {name: value for name, value in shown.items() if name not in ("label", "history")}


def _roc(labels: Matrix, scores: Matrix) -> list[list[float]]:
    """Points [share of negatives, share of positives] above falling thresholds."""
    order = np.argsort(-scores, kind="stable")
    up, down = np.cumsum(labels[order] == 1), np.cumsum(labels[order] == 0)
    if not up[-1] or not down[-1]:
        return []
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # ties are one point
    at = last[np.unique(np.linspace(0, len(last) - 1, POINTS).astype(int))]
    return [[0.0, 0.0], *([float(down[i] / down[-1]), float(up[i] / up[-1])] for i in at)]


def _histogram(parts: dict[str, Matrix], edges: Matrix) -> dict[str, Any]:
    shares = {name: (np.histogram(v, edges)[0] / max(1, len(v))).tolist() for name, v in parts.items()}
    return {"edges": edges.tolist(), "shares": shares}


def _confusion(classes: Sequence[str], labels: Matrix, scores: Matrix) -> dict[str, Any]:
    """Counts of the most frequent classes: rows are the labels, columns what was named."""
    truth, named = labels.astype(int), scores.argmax(axis=1)
    most = np.sort(np.argsort(-np.bincount(truth, minlength=len(classes)), kind="stable")[:CLASSES])
    counts = [[int(((truth == a) & (named == b)).sum()) for b in most] for a in most]
    return {"classes": [classes[i] for i in most], "counts": counts}


def _data(store: ObjectStore, allowed: DataSettings, scored: Scored) -> dict[str, Any]:
    """Which data: the files by their hashes, and each window's rows by a digest of their content and time."""
    spec, manifest = scored.bundle.spec, scored.bundle.manifest
    of = Windows(manifest.train_from, manifest.train_to, manifest.holdout_from, manifest.holdout_to, manifest.as_of)
    files = source_files(store, spec, allowed, HASHED_BYTES, of)
    columns = [*spec.features, spec.target.column, spec.data.time_column]
    windows = {
        "train": (manifest.train_from, manifest.train_to, scored.train),
        "holdout": (manifest.holdout_from, manifest.holdout_to, scored.holdout),
    }
    found = {
        "source": spec.data.source,
        "files": msgspec.to_builtins(files[:MAX_FILES]),
        "file_count": len(files),
        "windows": {name: _window(*each, columns) for name, each in windows.items()},
    }
    if scored.lived is None:
        return found
    lived = {"train": training_report(scored.bundle.files).history, "holdout": asdict(scored.lived)}
    return found | {"as_of": manifest.as_of.isoformat() if manifest.as_of else None, "history": lived}


def _window(begin: Any, end: Any, side: Labelled, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "from": begin.isoformat(),
        "to": end.isoformat(),
        "rows": side.table.num_rows,
        "set_aside": side.set_aside,
        "content": content_digest(row_hashes(side.table, columns)),
    }
