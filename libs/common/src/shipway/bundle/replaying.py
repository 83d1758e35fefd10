"""What a version says to rows that others answered, beside what they said. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shipway.bundle.metrics import score_metrics
from shipway.bundle.ranking import Ranked
from shipway.contract.signature import OF_NUMBERS, Signature

Matrix = npt.NDArray[np.float64]
MOST = 20
MAX_NAME = 200
OTHERS = "others"


@dataclass(frozen=True)
class Replayed:
    """Rows that were asked again. ``logged`` and ``again`` are scores (rows, outputs) in the order of the version's
    classes; ``labels`` (rows,) are NaN where none is known; ``versions`` (rows,) answered the first time.

    ``logged_s`` are the seconds of each answer (rows,), ``again_s`` those of as many rows as were timed. ``ranked``: of
    a ranking, each row's query; below 0 for one of no query.
    """

    logged: Matrix
    again: Matrix
    labels: Matrix
    versions: npt.NDArray[np.int64]
    logged_s: Matrix
    again_s: Matrix
    ranked: Ranked | None = None


def in_order(signature: Signature, logged: Signature, scores: Matrix) -> Matrix | None:
    """Scores of another version in the order of this one's classes; None where they mean something else."""
    if (signature.output, signature.target) != (logged.output, logged.target):
        return None
    if signature.output in OF_NUMBERS or signature.classes == logged.classes:
        return scores
    if set(signature.classes) != set(logged.classes):
        return None
    if signature.output == "binary":
        return 1 - scores
    return scores[:, [logged.classes.index(name) for name in signature.classes]]


def comparison(signature: Signature, rows: Replayed) -> dict[str, Any]:
    """The comparison as JSON-like data; what can't be said is null or left out."""
    numbers, counts = np.unique(rows.versions, return_counts=True)
    by = {str(version): int(count) for version, count in zip(numbers, counts, strict=True)}
    found: dict[str, Any] = {
        "rows": len(rows.logged),
        "answered_by": most(by),
        "scores": _differences(rows.again - rows.logged),
        "quality": _quality(signature, rows),
        "latency_ms": {"logged": _times(rows.logged_s), "replayed": _times(rows.again_s)},
    }
    if signature.classes:
        changed = decisions(signature, rows.again) != decisions(signature, rows.logged)
        found["decisions"] = {"changed": int(changed.sum()), "share": float(changed.mean()), **_moved(signature, rows)}
    return found


def most(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts in their order, but for what is beyond the greatest ``MOST``: that together, as ``OTHERS``."""
    if len(counts) <= MOST:
        return dict(counts)
    kept = set(sorted(counts, key=lambda name: -counts[name])[: MOST - 1])
    found = {name: count for name, count in counts.items() if name in kept}
    return found | {OTHERS: sum(counts.values()) - sum(found.values())}


def decisions(signature: Signature, scores: Matrix) -> npt.NDArray[np.int64]:
    """The place of the class that each row's scores say."""
    if signature.output == "binary":
        return (scores[:, 0] >= 0.5).astype(np.int64)
    return np.asarray(scores.argmax(axis=1), np.int64)


def _moved(signature: Signature, rows: Replayed) -> dict[str, Any]:
    """How many rows went from which class to which, the most frequent first."""
    before, after = decisions(signature, rows.logged), decisions(signature, rows.again)
    pairs, counts = np.unique(np.column_stack([before, after])[before != after], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST]
    classes = [name[:MAX_NAME] for name in signature.classes]
    named = [{"from": classes[pairs[i][0]], "to": classes[pairs[i][1]], "rows": int(counts[i])} for i in order]
    return {"moves": named}


def _differences(moved: Matrix) -> Mapping[str, float]:
    size = np.abs(moved).max(axis=1)
    return {
        "mean": float(moved[:, -1].mean()),
        "mean_absolute": float(size.mean()),
        "p95_absolute": float(np.quantile(size, 0.95)),
        "max_absolute": float(size.max()),
    }


def _quality(signature: Signature, rows: Replayed) -> Mapping[str, Any]:
    known, how = np.isfinite(rows.labels), rows.ranked
    if how is not None:  # a query counts by all of its rows, or not at all
        known &= (how.queries >= 0) & ~np.isin(how.queries, how.queries[~known])
        how = how.of(known)
    if not known.any():
        return {"labelled": 0, "logged": {}, "replayed": {}}
    sides = {"logged": rows.logged[known], "replayed": rows.again[known]}
    return {
        "labelled": int(known.sum()),
        **{name: _finite(score_metrics(signature, rows.labels[known], scores, how)) for name, scores in sides.items()},
    }


def _finite(figures: Mapping[str, float]) -> Mapping[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _times(seconds: Matrix) -> Mapping[str, float] | None:
    quantiles: Sequence[float] = (0.5, 0.95, 0.99)
    if not len(seconds):
        return None
    return {f"p{100 * q:.0f}": float(1000 * np.quantile(seconds, q)) for q in quantiles}
