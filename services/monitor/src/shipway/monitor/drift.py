"""Whether predictions have moved away from what a version was trained on: ok, drift, or too little to say. Pure.

A fixed limit on PSI is noise: without any drift it grows as rows get fewer. So: a chi-squared test of two samples over
the cells, whose p-value is calibrated for all sizes; Benjamini-Hochberg over the columns that were tested together; an
effect large enough to matter; and so many windows of the last few before it is called drift.

That takes rows for independent, and rows of a day often are not: they share its weather. So where a window has several
days, what they differ by among each other is not counted as drift (the design effect of Rao and Scott 1981).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import chdtrc, fdtrc

from shipway.monitor.bins import Bins, Counts, Matrix
from shipway.monitor.slices import Sliced

State = Literal["ok", "drift", "insufficient"]
LEAST_DAYS = 5  # fewer say too little of how days differ
LEAST_EXPECTED = 5.0  # of a cell; rarer cells are put together (Cochran 1954)
SCORE = "score"
LEAST_OF_SLICE = 200  # rows, of the reference too


@dataclass(frozen=True)
class Rule:
    """When a column counts as drifted. ``effect``: the share of predictions that lie elsewhere, 0 to 1."""

    min_rows: int = 500
    effect: float = 0.1
    false_discoveries: float = 0.01
    windows: int = 3
    at_least: int = 2


@dataclass(frozen=True)
class Comparison:
    """A column's counts beside the reference's: the p-value that they are alike, and how far apart they are (total
    variation: the least share of rows to move to make them alike).
    """

    p: float
    effect: float


@dataclass(frozen=True)
class Drift:
    """What a window says of a column. ``drift`` of one window is not an alarm yet: see alarmed."""

    column: str
    state: State
    rows: int
    p: float | None = None
    effect: float | None = None


def compare(seen: Counts, reference: Counts, days: Matrix | None = None) -> Comparison:
    """Two samples over the same cells. Pearson's chi-squared; cells too rare for it are taken together.

    ``days`` (days, cells) are the counts that ``seen`` is the sum of, where they are LEAST_DAYS or more. Then the
    statistic is taken by their design effect, against the F distribution, as that is estimated of few days; and of the
    effect only what is beyond chance.
    """
    total = seen + reference
    share = len_of(seen) / len_of(total)
    enough = np.minimum(share, 1 - share) * total >= LEAST_EXPECTED
    rest = [~enough] if total[~enough].sum() else []
    a = np.array([*seen[enough], *(seen[rare].sum() for rare in rest)], float)
    b = np.array([*reference[enough], *(reference[rare].sum() for rare in rest)], float)
    effect = 0.5 * float(np.abs(a / a.sum() - b / b.sum()).sum())
    if len(a) < 2:
        return Comparison(1.0, effect)
    expected = share * (a + b)
    statistic = float((((a - expected) ** 2) * (1 / expected + 1 / (a + b - expected))).sum())
    degrees = len(a) - 1
    if days is None:
        return Comparison(float(chdtrc(degrees, statistic)), effect)
    design = design_effect(days)
    p = float(fdtrc(degrees, degrees * (len(days) - 1), statistic / design / degrees))
    return Comparison(p, max(effect - math.sqrt(design) * by_chance(seen, reference), 0.0))


def design_effect(days: Matrix) -> float:
    """How much more the days' shares of the cells vary than those of independent rows would: 1 where they don't."""
    whole = days.sum(axis=0)
    known = whole > 0
    expected = np.outer(days.sum(axis=1), whole[known] / whole.sum())
    statistic = float(((days[:, known] - expected) ** 2 / np.maximum(expected, 1e-9)).sum())
    degrees = (len(days) - 1) * max(int(known.sum()) - 1, 1)
    return max(statistic / degrees, 1.0)


def len_of(counts: Counts) -> int:
    """How many rows the counts are of."""
    return int(counts.sum())


def discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which of several tests found something, so that at most a share of ``rate`` of those found is by chance.

    Benjamini and Hochberg 1995.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    last = max((k for k, i in enumerate(order, 1) if p_values[i] <= rate * k / len(order)), default=0)
    found = [False] * len(p_values)
    for i in order[:last]:
        found[i] = True
    return found


def judge(
    bins: Bins,
    cells: Counts,
    score: Counts,
    rule: Rule,
    hidden: frozenset[str] = frozenset(),
    days: Sequence[tuple[Counts, Counts]] = (),
) -> list[Drift]:
    """A window's columns beside the reference: each feature but those not logged (``hidden``), and the score.

    ``days``: cells and score of each day of the window, for those that have predictions.
    """
    columns: list[tuple[str, Counts, Counts]] = []
    by_day: dict[str, Matrix] = {}
    place = 0
    for column in bins.features:
        width = len(column.reference)
        if column.name not in hidden:
            seen = cells[place : place + width] if len(cells) else np.zeros(width, np.int64)
            columns.append((column.name, seen, column.reference))
            by_day[column.name] = np.array([of[place : place + width] for of, _ in days if len(of)], float)
        place += width
    by_day[SCORE] = np.array([of for _, of in days if len(of)], float)
    reference = bins.score.reference
    columns.append((SCORE, score if len(score) else np.zeros_like(reference), reference))
    tested = {
        name: compare(seen, reference, by_day[name] if len(by_day[name]) >= LEAST_DAYS else None)
        for name, seen, reference in columns
        if min(len_of(seen), len_of(reference)) >= rule.min_rows
    }
    names = list(tested)
    found = dict(zip(names, discoveries([tested[n].p for n in names], rule.false_discoveries), strict=True))
    return [_drift(name, len_of(seen), tested.get(name), found, rule) for name, seen, _ in columns]


def judge_slices(
    bins: Bins, slices: Mapping[str, Sliced], rule: Rule, days: Sequence[Mapping[str, Sliced]] = ()
) -> list[Drift]:
    """The score in each slice beside the reference's rows of that slice, where both have enough: its distribution may
    move in a part of the traffic that the whole hides. Such parts are small samples, which lie apart by chance alone:
    the effect is what is beyond that. ``days``: what ``slices`` are the sums of.
    """
    width = len(bins.score.reference)
    tested: dict[str, tuple[int, Comparison]] = {}
    for cut in bins.slicings:
        sums = slices.get(cut.name)
        if sums is None or not len(sums.score):
            continue
        scores = [day[cut.name].score.reshape(-1, width) for day in days if len(day.get(cut.name, Sliced()).score)]
        pairs = zip(cut.names, sums.score.reshape(-1, width), cut.score.reshape(-1, width), strict=True)
        for part, (name, seen, reference) in enumerate(pairs):
            if len_of(seen) >= LEAST_OF_SLICE and len_of(reference) >= LEAST_OF_SLICE:
                by_day = np.array([of[part] for of in scores if len_of(of[part])], float)
                if len(by_day) >= LEAST_DAYS:
                    found = compare(seen, reference, by_day)
                else:
                    found = compare(seen, reference)
                    found = replace(found, effect=max(found.effect - by_chance(seen, reference), 0.0))
                tested[f"{SCORE} where {cut.name}={name}"] = (len_of(seen), found)
    moved = discoveries([of.p for _, of in tested.values()], rule.false_discoveries)
    return [
        Drift(name, "drift" if found and of.effect >= rule.effect else "ok", rows, of.p, of.effect)
        for (name, (rows, of)), found in zip(tested.items(), moved, strict=True)
    ]


def by_chance(a: Counts, b: Counts) -> float:
    """How far apart two samples of one distribution lie on average (the mean of |N| is sqrt(2 / pi) deviations)."""
    both = (a + b) / (len_of(a) + len_of(b))
    deviations = np.sqrt(both * (1 - both) * (1 / len_of(a) + 1 / len_of(b)))
    return 0.5 * float(np.sqrt(2 / np.pi) * deviations.sum())


def _drift(name: str, rows: int, compared: Comparison | None, found: Mapping[str, bool], rule: Rule) -> Drift:
    if compared is None:
        return Drift(name, "insufficient", rows)
    moved = found[name] and compared.effect >= rule.effect
    return Drift(name, "drift" if moved else "ok", rows, compared.p, compared.effect)


def alarmed(states: Sequence[str], rule: Rule) -> bool:
    """Whether enough of the last windows drifted; ``states`` of one column, the newest last."""
    return sum(state == "drift" for state in states[-rule.windows :]) >= rule.at_least
