"""Drift: a calibrated test, an effect that matters, false discoveries in check, and known breaks that are found."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.signature import Feature, Signature
from shipway.monitor.bins import Bins, Counts, Matrix, cells_of, make_bins
from shipway.monitor.dayspread import spread_of
from shipway.monitor.drift import Comparison, Days, Rule, alarmed, compare, discoveries, judge
from shipway.monitor.packing import pack, unpack

FEATURES = [
    Feature(name="distance", type="number"),
    Feature(name="hour", type="number"),
    Feature(name="carrier", type="category", categories=[f"c{i}" for i in range(40)]),
    Feature(name="weekend", type="boolean"),
    Feature(name="delay", type="number"),
]
SIGNATURE = Signature(features=FEATURES, output="binary", target="y", classes=["false", "true"])


def draw(rng: np.random.Generator, n: int) -> Matrix:
    """Rows as they are usual: skewed, discrete, categorical, with gaps."""
    return np.column_stack(
        [
            rng.lognormal(6, 0.7, n),
            rng.integers(0, 24, n).astype(float),
            np.minimum(rng.geometric(0.15, n) - 1, 39).astype(float),
            (rng.random(n) < 0.3).astype(float),
            np.where(rng.random(n) < 0.1, np.nan, rng.standard_t(3, n)),
        ]
    )


def score(rows: Matrix) -> Matrix:
    return (1 / (1 + np.exp(-(np.log(rows[:, 0]) - 6 + 0.1 * (rows[:, 1] - 12)))))[:, None]


@pytest.fixture(scope="module")
def bins() -> Bins:
    rows = draw(np.random.default_rng(1), 5000)
    return make_bins(SIGNATURE, rows, score(rows))


def judged(bins: Bins, rows: Matrix, rule: Rule, hidden: frozenset[str] = frozenset()) -> dict[str, str]:
    cells = np.concatenate([cells_of(column, rows[:, i]) for i, column in enumerate(bins.features)])
    return {d.column: d.state for d in judge(bins, cells, cells_of(bins.score, score(rows)[:, 0]), rule, hidden)}


def test_p_values_are_calibrated_whatever_the_sizes() -> None:
    rng = np.random.default_rng(2)
    shares = np.array([0.5, 0.3, 0.1, 0.06, 0.03, 0.009, 0.001])
    for seen, reference in ((200, 5000), (2000, 5000), (5000, 500)):
        p = np.array(
            [compare(rng.multinomial(seen, shares), rng.multinomial(reference, shares)).p for _ in range(2000)]
        )
        assert 0.03 < (p < 0.05).mean() < 0.07, (seen, reference)
        assert 0.4 < (p < 0.5).mean() < 0.6, (seen, reference)


def test_quiet_windows_raise_no_alarm(bins: Bins) -> None:
    rng, rule = np.random.default_rng(3), Rule()
    states: dict[str, list[str]] = {}
    for _ in range(200):
        for column, state in judged(bins, draw(rng, int(rng.integers(500, 5000))), rule).items():
            states.setdefault(column, []).append(state)
    alarms = {c: sum(alarmed(found[: n + 1], rule) for n in range(200)) for c, found in states.items()}
    assert len(states) == 6 and sum(alarms.values()) == 0, alarms
    assert {state for found in states.values() for state in found} == {"ok"}


def metres(rows: Matrix) -> None:
    rows[:, 0] *= 1.609


def dropped(rows: Matrix) -> None:
    rows[:, 4] = np.nan


def shuffled(rows: Matrix) -> None:
    rows[:, 2] = (rows[:, 2] + 3) % 40


def unknown(rows: Matrix) -> None:
    rows[::5, 2] = -1.0


def nights_only(rows: Matrix) -> None:
    rows[:, 1] = rows[:, 1] // 3


@pytest.mark.parametrize(
    ("change", "column"),
    [(metres, "distance"), (dropped, "delay"), (shuffled, "carrier"), (unknown, "carrier"), (nights_only, "hour")],
)
def test_known_breaks_are_found_in_the_column_that_broke(
    bins: Bins, change: Callable[[Matrix], None], column: str
) -> None:
    rows = draw(np.random.default_rng(4), 500)
    change(rows)
    found = judged(bins, rows, Rule())
    assert found[column] == "drift"
    assert {c for c, state in found.items() if state == "drift"} <= {column, "score"}


def test_a_tiny_shift_in_many_rows_is_sure_and_does_not_matter(bins: Bins) -> None:
    rows = draw(np.random.default_rng(5), 200_000)
    rows[:, 0] *= 1.05
    assert judged(bins, rows, Rule())["distance"] == "ok"
    assert judged(bins, rows, Rule(effect=0.01))["distance"] == "drift"


def test_too_few_rows_and_hidden_features_say_nothing(bins: Bins) -> None:
    rows = draw(np.random.default_rng(6), 499)
    assert set(judged(bins, rows, Rule()).values()) == {"insufficient"}
    dropped(rows)
    assert "delay" not in judged(bins, rows, Rule(min_rows=50), frozenset({"delay"}))


@given(st.lists(st.integers(0, 60), min_size=2, max_size=12), st.data())
def test_comparing_never_fails_and_is_symmetric(seen: list[int], data: st.DataObject) -> None:
    reference = data.draw(st.lists(st.integers(0, 60), min_size=len(seen), max_size=len(seen)))
    if not sum(seen) or not sum(reference):
        return
    one, other = (
        compare(np.array(a, np.int64), np.array(b, np.int64)) for a, b in ((seen, reference), (reference, seen))
    )
    assert 0 <= one.p <= 1 and -1e-12 <= one.effect <= 1 + 1e-12
    assert (one.p, one.effect) == pytest.approx((other.p, other.effect))


def test_false_discoveries_are_held_to_their_rate() -> None:
    assert discoveries([0.001, 0.02, 0.04, 0.9], 0.05) == [True, True, False, False]
    assert discoveries([0.04, 0.9, 0.001, 0.03], 0.08) == [True, False, True, True]
    assert discoveries([], 0.05) == []
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(1000):
        wrong += any(discoveries(list(rng.random(20)), 0.05))
    assert wrong < 80


def test_so_many_of_the_last_windows_make_an_alarm() -> None:
    rule = Rule(windows=3, at_least=2)
    assert not alarmed(["drift"], rule)
    assert alarmed(["drift", "insufficient", "drift"], rule)
    assert not alarmed(["drift", "drift", "ok", "ok"], rule)


def test_bins_come_back_from_bytes(bins: Bins) -> None:
    rows = draw(np.random.default_rng(8), 300)
    back = unpack(pack(bins), Bins)
    assert judged(back, rows, Rule(min_rows=50)) == judged(bins, rows, Rule(min_rows=50))
    assert (back.answers, back.rows, back.repeated) == (bins.answers, bins.rows, bins.repeated)


def test_rows_that_share_their_day_are_no_drift_and_a_break_in_every_day_is() -> None:
    rng = np.random.default_rng(4)
    reference = rng.multinomial(5000, [0.1] * 10)

    def week(change: float = 0.0) -> Matrix:
        shares = rng.dirichlet([8.0] * 10, 7)
        shares[:, 0] += change
        return np.array([rng.multinomial(900, s / s.sum()) for s in shares], float)

    quiet = [week() for _ in range(200)]
    alone = [compare(days.sum(axis=0).astype(np.int64), reference) for days in quiet]
    known = [beside(days, reference) for days in quiet]
    assert np.mean([one.p < 0.01 for one in alone]) > 0.9
    assert np.mean([one.p < 0.01 for one in known]) < 0.03
    broken = week(change=0.5)
    found = beside(broken, reference)
    assert found.p < 1e-4 and found.effect > 0.1


def beside(days: Matrix, reference: Counts) -> Comparison:
    """A window by what its own days differ by, as of a version that does not know its reference's days."""
    spread = spread_of(days)
    assert spread is not None
    return compare(days.sum(axis=0).astype(np.int64), reference, Days(spread, days.sum(axis=1).tolist(), None))
