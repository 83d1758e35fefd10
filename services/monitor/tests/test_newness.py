"""New combinations of a day: quiet for months, loud with a new schedule, and once it has come quiet again."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor import drift
from shipway.monitor.judgement import Finding
from shipway.monitor.newness import DAYS_BEFORE, LEAST_LOOK_BACK, judge, share_of
from shipway.monitor.recentdays import Day

RULE = drift.Rule()
ROWS = 1000
NAME = "carrier, dest"
STATES = st.sampled_from(["ok", "drift", "insufficient"])


class Days:
    """One day after another, and whether an alarm begins on it. Each is as it likes; of a Saturday more is new."""

    def __init__(self, seed: int, usual: float = 0.02) -> None:
        self.rng = np.random.default_rng(seed)
        self.usual = usual
        self.days: list[Day] = []
        self.recent: list[str] = []
        self.on = False
        for _ in range(DAYS_BEFORE):
            self.days.append(self._day(None))

    def see(self, share: float | None = None) -> bool:
        self.days.append(self._day(share))
        found = said(self.days[-DAYS_BEFORE - 1 :], self.recent)
        self.recent.append(found.state)
        begun, self.on, self.last = found.alarm and not self.on, found.alarm, found
        return begun

    def _day(self, share: float | None) -> Day:
        usual = self.usual * (3 if len(self.days) % 7 == 5 else 1)
        own = float(self.rng.beta(2, 2 * (1 - usual) / usual)) if share is None else share
        return Day(float(self.rng.binomial(ROWS, own)), ROWS)


def said(days: Sequence[Day], recent: Sequence[str] = ()) -> Finding:
    dated = [Day(day.times, day.rows, ago) for ago, day in enumerate(reversed(days))]
    (found,) = judge({NAME: dated}, RULE, {NAME: recent})
    return found


def test_days_as_they_are_give_less_than_an_alarm_in_a_year() -> None:
    begun = 0
    for seed in range(6):
        days = Days(seed)
        begun += sum(days.see() for _ in range(122))
    assert begun <= 2


def test_a_new_schedule_is_an_alarm_on_its_first_day_and_ends_as_it_becomes_usual() -> None:
    for seed in range(8):
        days = Days(100 + seed)
        assert days.see(0.45), seed
        assert days.last.figure is not None and days.last.limit is not None and days.last.figure > days.last.limit
        assert f"have a combination of {NAME} that the 28 days before did not have" in days.last.reason
        assert not any([days.see(0.2), days.see(0.01), days.see(0.01), days.see(0.01)]), "one alarm, not one a day"
        assert not days.on


def test_a_smaller_one_is_an_alarm_on_the_second_day_and_what_does_not_matter_none() -> None:
    for seed in range(8):
        days = Days(200 + seed, usual=0.004)
        assert not days.see(0.17) and days.last.state == "drift"
        assert days.see(0.17), seed
        quiet = Days(300 + seed, usual=0.004)
        assert not any(quiet.see(0.08) for _ in range(3))


def test_where_nearly_all_is_always_new_nothing_is_unusual() -> None:
    rng = np.random.default_rng(9)
    days = [Day(float(rng.integers(930, 1001)), ROWS) for _ in range(60)]
    assert all(said([*days[: n + 1], Day(ROWS, ROWS)]).state == "ok" for n in range(20, 60))


@given(st.integers(0, 13), st.integers(0, 2000), st.integers(0, 600))
def test_too_little_is_no_evidence(before: int, rows: int, small: int) -> None:
    few = [Day(10, ROWS)] * before
    assert said([*few, Day(rows, max(rows, 1))]).state == "insufficient"
    enough = [Day(10, ROWS)] * 30
    state = said([*enough, Day(small, small)]).state
    assert (state == "insufficient") == (small < RULE.min_rows)
    assert not said([*few, Day(rows, max(rows, 1))], ["drift", "drift"]).alarm


@given(st.lists(st.integers(0, ROWS), min_size=20, max_size=90), st.integers(0, ROWS), st.lists(STATES, max_size=3))
def test_nothing_is_unusual_that_does_not_matter_or_is_not_sure(times: list[int], of: int, recent: list[str]) -> None:
    found = said([Day(one, ROWS) for one in [*times, of]], recent)
    assert found.p is not None and found.figure is not None and found.limit is not None
    if found.state == "drift":
        assert found.p <= RULE.false_discoveries and found.figure >= found.limit - 1e-9
    if found.alarm and found.state == "ok":
        assert recent[-2:] == ["drift", "drift"]
    if found.alarm and "drift" not in recent[-2:]:
        assert found.p <= drift.SURE_AT_ONCE and found.figure >= found.limit - RULE.effect + RULE.at_once - 1e-9


def test_a_day_has_a_share_once_two_weeks_lie_before_it() -> None:
    assert share_of(3, 10, LEAST_LOOK_BACK) == Day(3, 10, 0)
    assert share_of(3, 10, LEAST_LOOK_BACK - 1) is None
    assert share_of(0, 0, LEAST_LOOK_BACK) is None
