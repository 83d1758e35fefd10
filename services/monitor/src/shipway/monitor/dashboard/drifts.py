"""Drift by feature for people: how far each has moved, since when, and both histograms side by side. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shipway.monitor.bins import MISSING, NOT_KNOWN, Bins, Column, Counts
from shipway.monitor.dashboard import charts
from shipway.monitor.drift import SCORE
from shipway.monitor.summary import Summary

MOST = 24


@dataclass(frozen=True)
class Cell:
    """A cell of a histogram: shares of the reference and of what was seen, scaled to 1; ``words`` says which cell."""

    reference: float
    seen: float
    words: str


@dataclass(frozen=True)
class Feature:
    """A feature, or the score. ``effect``: the share of predictions that lie elsewhere; ``line``: that, over time."""

    name: str
    state: str
    alarm: bool
    effect: float | None
    limit: float | None
    reason: str
    line: str
    cells: Sequence[Cell]


def features(found: Sequence[Mapping[str, Any]], bins: Bins | None, seen: Summary | None) -> list[Feature]:
    """What is found of a version's features, the most drifted first; those not judged yet after them.

    ``found``: rows of findings; ``seen``: the predictions of the drift window so far.
    """
    cells = _cells(bins, seen) if bins is not None else {}
    judged = [
        Feature(
            name=row["subject"],
            state=row["state"],
            alarm=row["alarm"],
            effect=row["figure"],
            limit=row["limit"],
            reason=row["reason"],
            line=charts.sparkline([one["figure"] or 0.0 for one in row["recent"]]),
            cells=cells.get(row["subject"], ()),
        )
        for row in found
    ]
    known = {one.name for one in judged}
    # The score first: it is what all features come to.
    names = sorted((name for name in cells if name not in known), key=lambda name: name != SCORE)
    waiting = [Feature(name, "insufficient", False, None, None, "not judged yet", "", cells[name]) for name in names]
    return [*judged, *waiting][:MOST]


def _cells(bins: Bins, seen: Summary | None) -> dict[str, Sequence[Cell]]:
    found: dict[str, Sequence[Cell]] = {}
    place = 0
    for column in bins.features:
        width = len(column.reference)
        counted = seen.cells[place : place + width] if seen is not None and len(seen.cells) else None
        found[column.name] = _pairs(column, counted)
        place += width
    score = seen.score if seen is not None and len(seen.score) else None
    return {SCORE: _pairs(bins.score, score), **found}


def _pairs(column: Column, seen: Counts | None) -> list[Cell]:
    counts = seen if seen is not None else np.zeros_like(column.reference)
    words = _words(column)
    pairs = charts.bars([float(n) for n in column.reference], [float(n) for n in counts])
    # A cell that nobody is in, such as that of missing values where none are missing, only takes room.
    return [
        Cell(a, b, word) for (a, b), word, n, m in zip(pairs, words, column.reference, counts, strict=True) if n or m
    ]


def _words(column: Column) -> list[str]:
    words = ["missing"] * len(column.reference)
    words[NOT_KNOWN] = "not known in training"
    words[MISSING] = "missing"
    edges = column.edges
    for i in range(NOT_KNOWN + 1, len(words)):
        place = i - NOT_KNOWN - 1
        if column.codes is not None:
            words[i] = f"category {place + 1}"
        elif not len(edges):
            words[i] = "all values"
        elif place == 0:
            words[i] = f"below {edges[0]:.4g}"
        elif place == len(edges):
            words[i] = f"{edges[-1]:.4g} and above"
        else:
            words[i] = f"{edges[place - 1]:.4g} to {edges[place]:.4g}"
    return words
