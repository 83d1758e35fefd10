"""Whether predictions have moved away from what a version was trained on: ok, drift, or too little to say. Pure.

A fixed limit on PSI is noise: without any drift it grows as rows get fewer. So: a chi-squared test of two samples over
the cells, whose p-value is calibrated for all sizes; Benjamini-Hochberg over the columns that were tested together; an
effect large enough to matter; and so many windows of the last few before it is called drift.

That takes rows for independent, and rows of a day often are not: they share its weather. So what days differ by among
each other is not counted as drift (see dayspread): as it was in the version's training, or, of a version that does not
know that, in the window itself where it has several days.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import chdtrc, fdtrc

from shipway.monitor.bins import Bins, Column, Counts
from shipway.monitor.dayspread import Spread, design, spread_of
from shipway.monitor.slices import Sliced

State = Literal["ok", "drift", "insufficient"]
LEAST_EXPECTED = 5.0  # of a cell; rarer cells are put together (Cochran 1954)
SCORE = "score"
SURE_AT_ONCE = 1e-3  # by chance, of any column of a window
LEAST_OF_SLICE = 200  # rows, of the reference too


@dataclass(frozen=True)
class Rule:
    """When a column counts as drifted. ``effect``: the share of predictions that lie elsewhere, 0 to 1; of ``at_once``
    one window is enough for an alarm.
    """

    min_rows: int = 500
    effect: float = 0.1
    at_once: float = 0.25
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
class Days:
    """What is known of a window's days: how such days differ, how many rows each of these has, and of how many days the
    reference is, where it has days.
    """

    spread: Spread
    sizes: Sequence[float]
    of_reference: int | None


@dataclass(frozen=True)
class Drift:
    """What a window says of a column. ``drift`` of one window is not an alarm yet (see alarmed), if not ``sudden``."""

    column: str
    state: State
    rows: int
    p: float | None = None
    effect: float | None = None
    sudden: bool = False


def compare(seen: Counts, reference: Counts, days: Days | None = None) -> Comparison:
    """Two samples over the same cells. Pearson's chi-squared; cells too rare for it are taken together.

    With ``days`` the statistic is taken by their design effect, against the F distribution, as that is estimated; and
    of the effect only what is beyond chance.
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
    found = design(days.spread, days.sizes, len_of(reference), days.of_reference, degrees)
    p = float(fdtrc(found.degrees, found.known_by, statistic / found.effect / degrees))
    return Comparison(p, max(effect - math.sqrt(found.effect) * by_chance(seen, reference), 0.0))


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
    columns: list[tuple[Column, Counts, Days | None]] = []
    place = 0
    for column in bins.features:
        width = len(column.reference)
        if column.name not in hidden:
            seen = cells[place : place + width] if len(cells) else np.zeros(width, np.int64)
            columns.append((column, seen, days_of(column, [of[place : place + width] for of, _ in days if len(of)])))
        place += width
    whole = score if len(score) else np.zeros_like(bins.score.reference)
    columns.append((bins.score, whole, days_of(bins.score, [of for _, of in days if len(of)])))
    tested = {
        column.name: compare(seen, column.reference, known)
        for column, seen, known in columns
        if min(len_of(seen), len_of(column.reference)) >= rule.min_rows
    }
    names = list(tested)
    found = dict(zip(names, discoveries([tested[n].p for n in names], rule.false_discoveries), strict=True))
    by_days = frozenset(column.name for column, _, known in columns if known is not None)
    return [_drift(of.name, len_of(seen), tested, found, rule, of.name in by_days) for of, seen, _ in columns]


def days_of(column: Column, days: Sequence[Counts]) -> Days | None:
    """What is known of a window's days, by a column's counts of each; None: nothing, so rows count as independent."""
    known = [day for day in days if len_of(day)]
    spread = column.spread or spread_of(np.array(known, float)) if known else None
    if spread is None:
        return None
    return Days(spread, [len_of(day) for day in known], spread.days if column.spread else None)


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
                known = days_of(bins.score, [of[part] for of in scores])
                found = compare(seen, reference, known)
                if known is None:
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


def _drift(
    name: str,
    rows: int,
    tested: Mapping[str, Comparison],
    found: Mapping[str, bool],
    rule: Rule,
    by_days: bool,
) -> Drift:
    if name not in tested:
        return Drift(name, "insufficient", rows)
    p, effect = tested[name].p, tested[name].effect
    moved = found[name] and effect >= rule.effect
    # Who does not know how days differ can't tell a break from a day.
    sudden = moved and by_days and effect >= rule.at_once and p * len(tested) <= SURE_AT_ONCE
    return Drift(name, "drift" if moved else "ok", rows, p, effect, sudden)


def alarmed(states: Sequence[str], rule: Rule) -> bool:
    """Whether enough of the last windows drifted; ``states`` of one column, the newest last."""
    return sum(state == "drift" for state in states[-rule.windows :]) >= rule.at_least
