"""What the labels of a day say beside those of the weeks before: whether they come, and what came. Pure.

A storm, a campaign or a new policy shows first in what came of it, and a broken feed of labels in what did not: no
column has either. So shares of each day are held against those of the weeks before (see recentdays): of predictions
those whose label has not come in time; of labels the positive ones (label drift, or prior shift); and these beside what
was predicted (calibration in the large, day by day), where what the model foresaw is no news. Of several classes the
last is of right answers, beside how sure they were.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import copysign

from shipway.contract.signature import OF_NUMBERS
from shipway.contract.spec.values import format_duration
from shipway.monitor import drift
from shipway.monitor.judgement import LABEL_DRIFT, MISSING_LABELS, WHOLE_MODEL, Finding
from shipway.monitor.quality import AGES, Quality
from shipway.monitor.recentdays import Day, Shift, shift

DAYS_BEFORE = 28
LOST = 0.5  # of the usual labels; so many are a break even where few predictions ever get one
BESIDE = "beside predictions"
Key = tuple[str, str]
"""Kind and subject."""


@dataclass(frozen=True)
class LabelDay:
    """A day's predictions, and the sums of those that have a label; ``ago`` days before the one that is judged."""

    ago: int
    answered: int
    sums: Quality


@dataclass(frozen=True)
class Rule:
    """``gap_rise``: by how much the share of predictions without a label may exceed the usual; ``mature_after``: when a
    label is to be there. Of fewer predictions, or labels, than ``min_labels`` a day says nothing.
    """

    drift: drift.Rule
    gap_rise: float
    min_labels: int
    mature_after: timedelta


def judge(days: Sequence[LabelDay], output: str, rule: Rule, recent: Mapping[Key, Sequence[str]]) -> list[Finding]:
    """What the day that was 0 days ago says beside the others; nothing where no label ever came.

    ``recent``: the states of the days before, by kind and subject, the newest last.
    """
    if not any(day.sums.rows > 0 for day in days):
        return []
    figures = {(MISSING_LABELS, ""): [_missing(day, rule.mature_after) for day in days]}
    if output == "binary":
        figures[LABEL_DRIFT, ""] = [_came(day) for day in days]
    if output not in OF_NUMBERS:
        figures[LABEL_DRIFT, BESIDE] = [_beside(day) for day in days]
    shifts = {key: _shift(of, rule.min_labels) for key, of in figures.items()}
    chances = {key: _chance(key, one) for key, one in shifts.items() if one is not None}
    found = drift.discoveries(list(chances.values()), rule.drift.false_discoveries)
    surely = dict(zip(chances, found, strict=True))
    said = []
    for key, one in shifts.items():
        if one is None:
            words = f"a day of {rule.min_labels}, and weeks of such days before it, are needed"
            said.append(Finding(WHOLE_MODEL, *key, "insufficient", False, None, None, None, words))
            continue
        state = "drift" if surely[key] and _matters(key, one, rule) else "ok"
        sudden = state == "drift" and chances[key] * len(chances) <= drift.SURE_AT_ONCE and _far(key, one, rule)
        alarm = sudden or drift.alarmed([*recent.get(key, ()), state], rule.drift)
        limit = one.usual + (rule.gap_rise if key[0] == MISSING_LABELS else copysign(rule.drift.effect, one.effect))
        said.append(Finding(WHOLE_MODEL, *key, state, alarm, one.share, limit, chances[key], _words(key, one, rule)))
    return said


def _missing(day: LabelDay, mature_after: timedelta) -> Day:
    """By the labels that came in time: so older days, whose late ones have come by now, compare."""
    in_time = sum(day.sums.delays[: max(bisect_right(AGES, mature_after), 1)])
    return Day(max(day.answered - in_time, 0), day.answered, day.ago)


def _came(day: LabelDay) -> Day:
    return Day(sum(day.sums.came), sum(day.sums.binned), day.ago)


def _beside(day: LabelDay) -> Day:
    labelled = sum(day.sums.binned)
    return Day(sum(day.sums.came), labelled, day.ago, sum(day.sums.stated) / labelled if labelled > 0 else 0.0)


def _shift(days: Sequence[Day], least: int) -> Shift | None:
    enough = [day for day in days if day.rows >= least]
    today = next((day for day in enough if day.ago == 0), None)
    return shift(today, [day for day in enough if day.ago > 0]) if today is not None else None


def _chance(key: Key, one: Shift) -> float:
    """That more labels come than usual is no fault of theirs."""
    return one.above if key[0] == MISSING_LABELS else one.p


def _matters(key: Key, one: Shift, rule: Rule) -> bool:
    if key[0] == MISSING_LABELS:
        return one.effect >= rule.gap_rise or 1 - one.share < LOST * (1 - one.usual)
    return abs(one.effect) >= rule.drift.effect


def _far(key: Key, one: Shift, rule: Rule) -> bool:
    """Whether one day is enough; a gap is a gap, as of features."""
    return key[0] == MISSING_LABELS or abs(one.effect) >= rule.drift.at_once


def _words(key: Key, one: Shift, rule: Rule) -> str:
    known = f"(p = {_chance(key, one):.2g})"
    if key[0] == MISSING_LABELS:
        after = format_duration(rule.mature_after)
        return f"{one.share:.1%} of a day's predictions have no label after {after}; {one.usual:.1%} are usual {known}"
    if key[1] == BESIDE:
        return f"{one.share:.1%} of a day's labels are so; by its predictions {one.usual:.1%} would be usual {known}"
    return f"{one.share:.1%} of a day's labels are positive; {one.usual:.1%} are usual {known}"
