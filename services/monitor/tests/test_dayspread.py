"""Days that are not alike: the default, windows of one day, is quiet on them for months, and finds what breaks."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.signature import Feature, Signature
from shipway.monitor.bins import Bins, Matrix, cells_of, make_bins
from shipway.monitor.dayspread import LEAST_DAYS, Spread, design, rows_worth, spread_of
from shipway.monitor.drift import Rule, alarmed, judge
from shipway.monitor.signals import Limits, gaps
from shipway.monitor.summary import Summary

FEATURES = [
    Feature(name="temperature", type="number"),
    Feature(name="product", type="category", categories=list("abcdefgh")),
    Feature(name="reading", type="number"),
    Feature(name="price", type="number"),
    Feature(name="age", type="number"),
]
SIGNATURE = Signature(features=FEATURES, output="binary", target="y", classes=["false", "true"])
TRAINED, REFERENCE, A_DAY = 60, 5000, 1000


class World:
    """Days one after another, each with its weather (which lasts), its mix of products, its weekday and its outages."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.weather = self.rng.normal()
        self.day = 0

    def rows(self) -> Matrix:
        """The next day's."""
        rng, self.day = self.rng, self.day + 1
        self.weather = 0.7 * self.weather + rng.normal(scale=0.7)
        weekend = self.day % 7 >= 5
        return np.column_stack(
            [
                self.weather + rng.normal(scale=0.5, size=A_DAY),
                rng.choice(8, A_DAY, p=rng.dirichlet([6.0] * 8)).astype(float),
                np.where(rng.random(A_DAY) < rng.beta(2, 12), np.nan, rng.normal(size=A_DAY)),
                rng.lognormal(0.4 if weekend else 0.0, 0.5, A_DAY),
                rng.normal(40, 10, A_DAY),
            ]
        )


def scores(rows: Matrix) -> Matrix:
    return (1 / (1 + np.exp(-np.nan_to_num(rows[:, 0]) - 0.03 * (rows[:, 4] - 40))))[:, None]


def trained(world: World, *, with_days: bool = True) -> Bins:
    """The bins of a version of the days before, by a sample of their rows."""
    days = [world.rows() for _ in range(TRAINED)]
    every = np.concatenate(days)
    chosen = np.sort(world.rng.choice(len(every), REFERENCE, replace=False))
    counts = np.bincount(chosen // A_DAY, minlength=TRAINED).tolist() if with_days else []
    return make_bins(SIGNATURE, every[chosen], scores(every[chosen]), days=counts)


def alarms(bins: Bins, days: list[Matrix]) -> Counter[tuple[str, int]]:
    """What begins to be an alarm on which of these days, by the default rules."""
    rule = Rule()
    begun: Counter[tuple[str, int]] = Counter()
    on: dict[tuple[str, str], bool] = {}
    states: dict[str, list[str]] = {}
    for n, rows in enumerate(days):
        cells = np.concatenate([cells_of(column, rows[:, i]) for i, column in enumerate(bins.features)])
        score = cells_of(bins.score, scores(rows)[:, 0])
        found = {}
        for one in judge(bins, cells, score, rule, days=[(cells, score)]):
            states.setdefault(one.column, []).append(one.state)
            found["drift", one.column] = one.sudden or alarmed(states[one.column], rule)
        window = Summary(answered=len(rows), rows=len(rows), cells=cells)
        for gap in gaps(window, bins, Limits(), frozenset(), [cells]):
            found[gap.kind, gap.subject] = gap.state == "alarm"
        for key, now in found.items():
            begun[key[1], n] += now and not on.get(key, False)
        on = found
    return +begun


def test_a_year_of_days_that_differ_gives_less_than_an_alarm_a_month() -> None:
    begun, unaware = 0, 0
    for seed in range(12):
        world = World(seed)
        bins = trained(world)
        begun += sum(alarms(bins, [world.rows() for _ in range(30)]).values())
        world = World(seed)
        unaware += sum(alarms(trained(world, with_days=False), [world.rows() for _ in range(30)]).values())
    assert begun <= 3, begun
    assert unaware > 100, unaware


def unit(rows: Matrix) -> None:
    rows[:, 3] *= 3.0


def dropped(rows: Matrix) -> None:
    rows[:, 4] = np.nan


def shuffled(rows: Matrix) -> None:
    rows[:, 1] = 0.0


def moved(rows: Matrix) -> None:
    rows[:, 4] += 6.0


@pytest.mark.parametrize(
    ("change", "column", "within"),
    [(unit, "price", 2), (dropped, "age", 1), (shuffled, "product", 1), (moved, "age", 2)],
)
def test_what_breaks_on_such_days_is_found_in_a_day_or_two(
    change: Callable[[Matrix], None], column: str, within: int
) -> None:
    for seed in range(5):
        world = World(100 + seed)
        bins = trained(world)
        days = [world.rows() for _ in range(3)]
        for rows in days:
            change(rows)
        first = min((n for name, n in alarms(bins, days) if name == column), default=99)
        assert first + 1 <= within, (seed, first)


def test_days_of_independent_rows_have_no_design_effect_and_alike_ones_have_nearly_their_size() -> None:
    rng = np.random.default_rng(3)
    alone = spread_of(rng.multinomial(100, [0.25] * 4, 200).astype(float))
    assert alone is not None and alone.mean == pytest.approx(1, abs=0.15) and alone.square == pytest.approx(1, abs=0.2)
    assert design(alone, [100], 5000, 200, 3).effect < 1.2
    every_day_one_value = spread_of(np.eye(4)[rng.integers(0, 4, 200)] * 100)
    assert every_day_one_value is not None and every_day_one_value.mean == pytest.approx(100, rel=0.02)
    assert design(every_day_one_value, [100], 1e12, None, 3).effect == pytest.approx(100, rel=0.02)
    assert rows_worth(spread_of(np.array([[100, 0, 0], [0, 0, 100]] * 50, float)) or alone, 0, [100]) < 1.1


DAYS = st.lists(st.lists(st.integers(0, 300), min_size=4, max_size=4), max_size=12)


@given(DAYS, st.lists(st.integers(1, 5000), min_size=1, max_size=9), st.integers(1, 100_000), st.integers(1, 40))
def test_a_design_is_never_less_than_none_and_has_degrees_to_test_with(
    counts: list[list[int]], sizes: list[int], reference: int, degrees: int
) -> None:
    spread = spread_of(np.array(counts, float).reshape(-1, 4))
    if spread is None:
        return
    assert spread.days >= LEAST_DAYS
    for of_days in (None, spread.days):
        found = design(spread, sizes, reference, of_days, degrees)
        assert found.effect >= 1 and 1 <= found.degrees <= degrees and found.known_by >= LEAST_DAYS - 1
    assert all(0 < rows_worth(spread, cell, sizes) <= sum(sizes) + 1e-6 for cell in (0, 1))


def test_what_a_version_knows_of_its_days_counts_and_not_what_a_window_shows() -> None:
    world = World(1)
    bins = trained(world)
    assert all(column.spread is not None and column.spread.days == TRAINED for column in bins.features)
    assert isinstance(bins.score.spread, Spread)
    assert all(column.spread is None for column in trained(World(1), with_days=False).features)
