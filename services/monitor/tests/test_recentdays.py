"""A day beside those before it: quiet where days are as they are, sure where one is not, whatever weeks are like."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor.recentdays import LEAST_DAYS, Day, scale, shift

ROWS = 900


def days(rng: np.random.Generator, count: int = 28, usual: float = 0.2, spread: float = 0.08) -> list[Day]:
    """Days whose share lies around the usual, each where it likes."""
    place = np.arcsin(math.sqrt(usual)) + rng.normal(scale=spread, size=count)
    times = rng.binomial(ROWS, np.sin(place) ** 2)
    return [Day(float(n), ROWS, ago) for ago, n in enumerate(times, 1)]


def test_days_as_they_are_hardly_ever_lie_far_off() -> None:
    rng = np.random.default_rng(1)
    chances = []
    for _ in range(2000):
        today, *before = days(rng, 29)
        found = shift(Day(today.times, today.rows), before)
        assert found is not None
        chances.append(found.p)
    assert sum(p < 1e-3 for p in chances) <= 8
    assert 0.04 < sum(p < 0.1 for p in chances) / len(chances) < 0.16


def test_a_break_is_sure_beside_breaks_of_the_weeks_before() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        before = days(rng, spread=0.05)
        for ago in (3, 4, 17, 24):
            before[ago] = Day(0.9 * ROWS, ROWS, ago + 1)
        found = shift(Day(0.7 * ROWS, ROWS), before)
        assert found is not None and found.above < 1e-3 and found.effect > 0.4, found


def test_what_a_sunday_is_always_like_is_no_break() -> None:
    rng = np.random.default_rng(3)
    before = [Day(0.95 * ROWS, ROWS, day.ago) if day.ago % 7 == 0 else day for day in days(rng)]
    sunday = shift(Day(0.95 * ROWS, ROWS), before)
    assert sunday is not None and sunday.p > 0.5 and sunday.usual == pytest.approx(0.95)
    monday = shift(Day(0.95 * ROWS, ROWS), [Day(day.times, day.rows, day.ago + 1) for day in before])
    assert monday is not None and monday.above < 1e-4


def test_what_was_foretold_is_no_news_and_what_was_not_is() -> None:
    rng = np.random.default_rng(4)
    before = [Day(day.times, ROWS, day.ago, day.share + rng.normal(scale=0.01)) for day in days(rng, spread=0.2)]
    foretold = shift(Day(0.6 * ROWS, ROWS, expected=0.6), before)
    assert foretold is not None and foretold.p > 0.2 and foretold.usual == pytest.approx(0.6, abs=0.05)
    unforeseen = shift(Day(0.6 * ROWS, ROWS, expected=0.3), before)
    assert unforeseen is not None and unforeseen.above < 1e-4 and unforeseen.effect == pytest.approx(0.3, abs=0.05)


def test_days_that_never_differed_leave_the_chance_of_rows() -> None:
    before = [Day(0, ROWS, ago) for ago in range(1, 29)]
    assert (one := shift(Day(1, ROWS), before)) is not None and one.above > 0.01
    assert (many := shift(Day(40, ROWS), before)) is not None and many.above < 1e-4


DAYS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2000), st.one_of(st.none(), st.floats(0, 1))), max_size=40)


@given(DAYS, st.floats(0, 1), st.integers(0, 2000), st.one_of(st.none(), st.floats(0, 1)))
def test_any_days_give_chances_and_shares_and_more_is_never_more_usual(
    before: list[tuple[float, int, float | None]], share: float, rows: int, expected: float | None
) -> None:
    past = [Day(of * n, n, ago, foretold) for ago, (of, n, foretold) in enumerate(before, 1)]
    found = shift(Day(share * rows, rows, 0, expected), past)
    if found is None:
        assert rows == 0 or sum(day.rows > 0 for day in past) < LEAST_DAYS
        return
    assert 0 <= found.above <= 1 and 0 <= found.p <= 1
    assert 0 <= found.usual <= 1 and found.share == pytest.approx(share)
    more = shift(Day(rows, rows, 0, expected), past)
    assert more is not None
    if found.above < 0.5:  # above the usual; further above is less likely
        assert more.above <= found.above + 1e-9


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40), st.floats(-1e3, 1e3), st.floats(0.01, 100))
def test_scale_does_not_depend_on_where_values_lie_and_grows_with_them(
    values: list[float], moved: float, times: float
) -> None:
    assert scale([one + moved for one in values]) == pytest.approx(scale(values), abs=1e-6)
    assert scale([one * times for one in values]) == pytest.approx(times * scale(values), abs=1e-6)


def test_scale_of_normal_values_is_their_deviation_and_a_third_of_others_hardly_changes_it() -> None:
    rng = np.random.default_rng(5)
    assert np.mean([scale(rng.normal(scale=3, size=28).tolist()) for _ in range(300)]) == pytest.approx(3, rel=0.05)
    assert np.mean([scale(rng.normal(scale=3, size=29).tolist()) for _ in range(300)]) == pytest.approx(3, rel=0.05)
    values = [*rng.normal(size=20).tolist(), *(100 + rng.normal(size=8)).tolist()]
    assert scale(values) < 3
