"""Series for plots: what a browser draws, and small lines that are drawn here. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Shape = Literal["line", "bars", "band"]
# The width of a plot, and of the parts that its figures are added up over.
RANGES: Mapping[str, tuple[timedelta, timedelta]] = {
    "3 h": (timedelta(hours=3), timedelta(minutes=1)),
    "24 h": (timedelta(days=1), timedelta(minutes=10)),
    "7 d": (timedelta(days=7), timedelta(hours=1)),
    "30 d": (timedelta(days=30), timedelta(hours=6)),
    "90 d": (timedelta(days=90), timedelta(days=1)),
}


@dataclass(frozen=True)
class Series:
    """One line; ``tone`` is its place among the style's colours. None: nothing is known there."""

    label: str
    values: Sequence[float | None]
    tone: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """Lines over the same moments. ``unit``: how the browser writes values (count, share, ms, figure)."""

    title: str
    at: Sequence[datetime]
    series: Sequence[Series]
    unit: str
    low: float | None = 0.0
    high: float | None = None

    @property
    def data(self) -> str:
        """What dashboard.js reads, as JSON."""
        shown: dict[str, Any] = {
            "unit": self.unit,
            "low": self.low,
            "high": self.high,
            "series": [{"label": s.label, "tone": s.tone, "dashed": s.dashed} for s in self.series],
            "data": [[int(at.timestamp()) for at in self.at], *(list(s.values) for s in self.series)],
        }
        return json.dumps(shown, separators=(",", ":"), allow_nan=False)

    @property
    def words(self) -> str:
        """What it shows, for those who don't see it: the newest value of each line, and its range."""
        said = []
        for one in self.series:
            known = [v for v in one.values if v is not None]
            if known:
                said.append(f"{one.label}: {known[-1]:.4g} at the end, {min(known):.4g} to {max(known):.4g}")
        return f"{self.title}. {'; '.join(said) or 'no values'}"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(v is not None for s in self.series for v in s.values)


def fitting(first: datetime | None, now: datetime) -> str:
    """The narrowest range that a history of since ``first`` fills, a week at most."""
    for name in ("3 h", "24 h"):
        if first is None or now - first <= RANGES[name][0]:
            return name
    return "7 d"


def moments(begin: datetime, end: datetime, width: timedelta) -> list[datetime]:
    """The parts' begins, from the one that ``begin`` is in up to ``end``."""
    epoch = datetime.fromtimestamp(0, begin.tzinfo)
    first = begin - (begin - epoch) % width
    return [first + i * width for i in range(int((end - first) / width) + 1)]


def sparkline(values: Sequence[float], width: int = 120, height: int = 28) -> str:
    """A small line through values as an SVG path; a flat one below where all are 0."""
    if len(values) < 2:
        return ""
    most = max(*values, 1e-12)
    step = width / (len(values) - 1)
    points = (f"{i * step:.1f} {height - 2 - (height - 4) * v / most:.1f}" for i, v in enumerate(values))
    return "M" + "L".join(points)


def bars(a: Sequence[float], b: Sequence[float]) -> list[tuple[float, float]]:
    """Two histograms over the same cells as shares of each, scaled to the largest cell of both: 0 to 1."""
    totals = sum(a) or 1.0, sum(b) or 1.0
    pairs = [(x / totals[0], y / totals[1]) for x, y in zip(a, b, strict=True)]
    most = max((max(pair) for pair in pairs), default=0.0) or 1.0
    return [(x / most, y / most) for x, y in pairs]
