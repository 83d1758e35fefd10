"""The evaluation report as the version's page shows it: the figures behind the gates, as far as they are there. Pure.

Reports are read back long after they were written; what has not the expected shape is left out, not an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SIZE, LEFT, TOP = 240, 34, 8
MOST_SLICES, MOST_FEATURES = 12, 15


@dataclass(frozen=True)
class Curve:
    """Lines within a square of SIZE, as SVG paths; ``ends`` are the axes' values, ``tone`` places among the colours."""

    title: str
    x: str
    y: str
    paths: Sequence[tuple[str, str]]
    low: float
    high: float
    dots: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Report:
    """What there is to show. ``features``: what each tells alone, 0 to 1; ``windows``: the data, by name."""

    there: bool = False
    judged_at: str = ""
    metric: str = ""
    slices: Sequence[Mapping[str, Any]] = ()
    features: Sequence[tuple[str, float]] = ()
    gains: Sequence[tuple[str, float]] = ()
    curves: Sequence[Curve] = ()
    windows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    constant: Mapping[str, float] = field(default_factory=dict)


def report(document: Any) -> Report:
    """The report of a document as the evaluator writes it; an empty one of anything else."""
    if not isinstance(document, Mapping) or "gates" not in document:
        return Report()
    gains = _numbers(_part(document, "training").get("importance_gain"))
    whole = sum(value for _, value in gains) or 1.0
    return Report(
        there=True,
        judged_at=str(document.get("judged_at", ""))[:16].replace("T", " "),
        metric=str(document.get("metric", "")),
        slices=_slices(document.get("slices")),
        features=sorted(_numbers(document.get("single_features")), key=lambda pair: -pair[1])[:MOST_FEATURES],
        gains=[(name, value / whole) for name, value in sorted(gains, key=lambda pair: -pair[1])[:MOST_FEATURES]],
        curves=[*_roc(document), *_calibration(document)],
        windows={k: v for k, v in _part(_part(document, "data"), "windows").items() if isinstance(v, Mapping)},
        constant=dict(_numbers(document.get("constant_metrics"))),
    )


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def _numbers(found: Any) -> list[tuple[str, float]]:
    pairs = found.items() if isinstance(found, Mapping) else ()
    return [(str(name), float(value)) for name, value in pairs if isinstance(value, int | float)]


def _slices(found: Any) -> list[Mapping[str, Any]]:
    """Those where the version is worst against the champion first; without one, where it is worst."""
    known = [s for s in found if isinstance(s, Mapping) and "figure" in s] if isinstance(found, list) else []

    def better_by(one: Mapping[str, Any]) -> float:
        figure = _part(one, "better_by").get("figure")
        return float(figure) if isinstance(figure, int | float) else 0.0

    return sorted(known, key=better_by)[:MOST_SLICES]


def _roc(document: Mapping[str, Any]) -> list[Curve]:
    roc = _part(_part(document, "curves"), "roc")
    paths = [(str(side), _path(points, 0.0, 1.0)) for side, points in roc.items() if _points(points)]
    return [Curve("ROC", "false positives", "true positives", paths, 0.0, 1.0)] if paths else []


def _calibration(document: Mapping[str, Any]) -> list[Curve]:
    found = _part(document, "calibration").get("bins")
    bins = [b for b in found if isinstance(b, Mapping)] if isinstance(found, list) else []
    points: list[list[Any]] = [[b.get("predicted"), b.get("observed")] for b in bins]
    if not _points(points):
        return []
    ends = [value for point in points for value in point]
    low, high = min(0.0, *ends), max(1.0, *ends) if max(ends) <= 1 else max(ends)
    dots = [_place(point, low, high) for point in points]
    return [Curve("Calibration", "predicted", "observed", [("", _path(points, low, high))], low, high, dots)]


def _points(found: Any) -> bool:
    return (
        isinstance(found, Sequence)
        and len(found) > 1
        and all(isinstance(p, Sequence) and len(p) == 2 and all(isinstance(v, int | float) for v in p) for p in found)
    )


def _path(points: Sequence[Sequence[float]], low: float, high: float) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (_place(point, low, high) for point in points))


def _place(point: Sequence[float], low: float, high: float) -> tuple[float, float]:
    scale = SIZE / ((high - low) or 1.0)
    return LEFT + (point[0] - low) * scale, TOP + SIZE - (point[1] - low) * scale
