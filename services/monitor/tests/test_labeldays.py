"""Labels of a day: quiet for months, loud when they stop, turn, or come otherwise than foretold."""

import math
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest

from shipway.monitor import drift
from shipway.monitor.judgement import LABEL_DRIFT, MISSING_LABELS, Finding
from shipway.monitor.labeldays import BESIDE, DAYS_BEFORE, Key, LabelDay, Rule, judge
from shipway.monitor.quality import BINS, Quality

RULE = Rule(drift.Rule(), gap_rise=0.05, min_labels=200, mature_after=timedelta(days=1))
ASKED = 1000
SHARE, FORESEEN = (LABEL_DRIFT, ""), (LABEL_DRIFT, BESIDE)
MISSING = (MISSING_LABELS, "")


def day(
    rng: np.random.Generator, missing: float = 0.03, came: float | None = None, foretold: float | None = None
) -> tuple[int, Quality]:
    """Predictions and their labels; a day is as it likes, and foretold within a tenth."""
    share = float(rng.beta(6, 20)) if came is None else came
    said = min(max(share + rng.normal(scale=0.05), 0.01), 0.99) if foretold is None else foretold
    odds = missing / (1 - missing) * rng.uniform(0.5, 1.5) if missing < 1 else math.inf
    labelled = int(rng.binomial(ASKED, 1 / (1 + odds)))
    sums = Quality(labelled=labelled)
    sums.delays[3] = labelled
    place = min(int(said * BINS), BINS - 1)
    sums.binned[place], sums.stated[place] = labelled, said * labelled
    sums.came[place] = int(rng.binomial(labelled, share))
    return ASKED, sums


class Days:
    """One day after another, and what begins to be an alarm on each."""

    def __init__(self, seed: int, output: str = "binary") -> None:
        self.rng = np.random.default_rng(seed)
        self.output = output
        self.days = [day(self.rng) for _ in range(DAYS_BEFORE)]
        self.recent: dict[Key, list[str]] = {}
        self.on: set[Key] = set()
        self.said: dict[Key, Finding] = {}

    def see(self, one: tuple[int, Quality]) -> set[Key]:
        self.days = [*self.days[-DAYS_BEFORE:], one]
        days = [LabelDay(ago, *of) for ago, of in enumerate(reversed(self.days))]
        self.said = {(one.kind, one.subject): one for one in judge(days, self.output, RULE, self.recent)}
        for key, found in self.said.items():
            self.recent.setdefault(key, []).append(found.state)
        now = {key for key, found in self.said.items() if found.alarm}
        begun, self.on = now - self.on, now
        return begun


def test_days_as_they_are_give_less_than_an_alarm_in_a_year() -> None:
    begun: Counter[Key] = Counter()
    for seed in range(6):
        days = Days(seed)
        for _ in range(122):
            begun.update(days.see(day(days.rng)))
    assert begun.total() <= 2, begun


@pytest.mark.parametrize(
    ("change", "key"),
    [({"missing": 0.12}, MISSING), ({"missing": 1.0}, MISSING), ({"came": 0.9}, SHARE), ({"foretold": 0.6}, FORESEEN)],
)
def test_what_breaks_is_an_alarm_within_two_days(change: dict[str, float], key: Key) -> None:
    for seed in range(8):
        days = Days(100 + seed)
        begun = days.see(day(days.rng, **change)) | days.see(day(days.rng, **change))
        assert key in begun, (seed, days.said)


def test_what_was_foretold_is_drift_of_labels_and_not_beside_predictions() -> None:
    days = Days(7)
    days.see(day(days.rng, came=0.9))
    assert days.said[SHARE].alarm and not days.said[FORESEEN].alarm
    assert "of a day's labels are positive" in days.said[SHARE].reason
    limit, figure = days.said[SHARE].limit, days.said[SHARE].figure
    assert limit is not None and figure is not None and limit < 0.5 < figure


def test_a_day_that_has_had_its_time_is_held_against_what_others_had_by_then() -> None:
    days = Days(8)
    for _, sums in days.days:
        sums.delays[3], sums.delays[6] = sums.delays[3] // 2, sums.delays[3] // 2  # half of them after a day
    asked, sums = day(days.rng)
    sums.delays[3] //= 2
    assert MISSING not in days.see((asked, sums))
    assert days.said[MISSING].state == "ok" and days.said[MISSING].figure == pytest.approx(0.5, abs=0.05)


def test_few_labels_that_stop_are_missed_although_few_ever_came() -> None:
    days = Days(9)
    days.days = [day(days.rng, missing=0.97) for _ in range(DAYS_BEFORE)]
    assert MISSING in days.see(day(days.rng, missing=1.0)) | days.see(day(days.rng, missing=1.0))


def test_models_without_labels_are_told_nothing_numbers_are_not_shares_and_little_is_insufficient() -> None:
    rng = np.random.default_rng(10)
    nothing = [LabelDay(ago, ASKED, Quality()) for ago in range(DAYS_BEFORE + 1)]
    assert judge(nothing, "binary", RULE, {}) == []
    some = [LabelDay(ago, *day(rng)) for ago in range(DAYS_BEFORE + 1)]
    for output in ("regression", "ranking"):
        assert {(one.kind, one.subject) for one in judge(some, output, RULE, {})} == {MISSING}
    assert {(one.kind, one.subject) for one in judge(some, "multiclass", RULE, {})} == {MISSING, FORESEEN}
    found = judge(some[:10], "binary", RULE, {})
    assert len(found) == 3 and {one.state for one in found} == {"insufficient"}
    assert not any(one.alarm for one in judge([LabelDay(0, 0, Quality()), *some[1:]], "binary", RULE, {}))
