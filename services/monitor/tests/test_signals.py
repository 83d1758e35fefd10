"""What is unusual of a window, and what is not."""

import numpy as np
import pytest

from shipway.contract.signature import Feature, Signature
from shipway.monitor import signals
from shipway.monitor.bins import Bins, make_bins
from shipway.monitor.signals import Limits
from shipway.monitor.slices import Sliced
from shipway.monitor.summary import Summary

LIMITS = Limits()


@pytest.fixture(scope="module")
def bins() -> Bins:
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.normal(size=2000), rng.integers(0, 2, 2000)])
    features = [Feature(name="n", type="number"), Feature(name="c", type="category", categories=["a", "b"])]
    signature = Signature(features=features, output="multiclass", target="y", classes=["usual", "other", "rare"])
    scores = np.eye(3)[rng.choice(3, 2000, p=[0.7, 0.29, 0.01])]
    return make_bins(signature, rows, scores)


@pytest.mark.parametrize(
    ("now", "before", "state", "limit"),
    [
        (100, [], "insufficient", None),
        (10, [9, 11], "insufficient", None),
        (251, [9, 11], "alarm", 250),
        (0, [100, 120, 0], "alarm", 20),
        (19, [100, 120, 90], "alarm", 20),
        (21, [100, 100], "ok", 20),
        (500, [100], "ok", 20),
        (501, [100], "alarm", 500),
    ],
)
def test_traffic_beside_the_days_before(now: int, before: list[int], state: str, limit: float | None) -> None:
    found = signals.traffic(now, before, LIMITS)
    assert (found.state, found.limit) == (state, pytest.approx(limit) if limit else None)


def test_no_traffic_is_an_alarm_also_where_any_little_would_do() -> None:
    assert signals.traffic(0, [100], Limits(traffic_low=0.0)).state == "alarm"


def test_errors_and_latency_have_their_levels() -> None:
    assert signals.errors(Summary(answered=48, failed=1), LIMITS).state == "insufficient"
    assert signals.errors(Summary(answered=95, failed=5), LIMITS).state == "ok"
    assert signals.errors(Summary(answered=94, failed=6, refused=999), LIMITS).state == "alarm"
    slow = Summary(answered=100)
    slow.latencies[30] = 2
    slow.latencies[10] = 98
    assert signals.latency(slow, LIMITS) is None
    found = signals.latency(slow, Limits(latency_us=1000))
    assert found is not None and (found.state, round(found.figure or 0)) == ("alarm", round(2**14.75))
    assert signals.latency(slow, Limits(latency_us=50_000)).state == "ok"  # type: ignore[union-attr]
    assert signals.latency(Summary(), Limits(latency_us=1)).state == "insufficient"  # type: ignore[union-attr]


def test_an_answer_that_was_rare_and_comes_often_is_named(bins: Bins) -> None:
    def states(answers: list[int]) -> dict[str, str]:
        window = Summary(answered=sum(answers), binned=sum(answers), answers=np.array(answers))
        return {s.subject: s.state for s in signals.rare_answers(window, bins, LIMITS)}

    assert states([690, 290, 20]) == {"usual": "ok", "other": "ok", "rare": "ok"}
    assert states([600, 300, 100]) == {"usual": "ok", "other": "ok", "rare": "alarm"}
    assert set(states([20, 10, 10]).values()) == {"insufficient"}
    assert states([49, 0, 1])["rare"] == "ok"


def test_a_rare_answer_of_a_part_of_the_traffic_is_named_and_small_references_say_little() -> None:
    rng = np.random.default_rng(3)
    carrier = np.concatenate([np.zeros(1900), np.ones(100)])
    rows, late = carrier[:, None], rng.random(2000) < 0.01
    late[1900:] = False  # a hundred rows of the reference know no late one
    feature = Feature(name="carrier", type="category", categories=["big", "small"])
    signature = Signature(features=[feature], output="binary", target="y", classes=["false", "true"])
    of = make_bins(signature, rows, np.where(late, 0.9, 0.1)[:, None], ["carrier"])

    def alarms(big: int, small: int) -> set[str]:
        answers = np.array([1000 - big, big, 1000 - small, small, 0, 0, 0, 0])
        window = Summary(answered=2000, slices={"carrier": Sliced(answers=answers)})
        return {one.subject for one in signals.rare_in_slices(window, of, LIMITS) if one.state == "alarm"}

    assert alarms(12, 12) == set()
    assert alarms(80, 12) == {"true where carrier=big"}
    assert alarms(12, 40) == set(), "which may be by chance beside none of a hundred"
    assert alarms(12, 300) == {"true where carrier=small"}
    assert signals.rare_in_slices(Summary(answered=10), of, LIMITS) == []


def test_the_same_input_again_and_again_is_found(bins: Bins) -> None:
    assert signals.repeats(Summary(rows=1000, repeats={1: 299, 2: 5}), bins, LIMITS).state == "ok"
    assert signals.repeats(Summary(rows=1000, repeats={1: 301}), bins, LIMITS).state == "alarm"
    assert signals.repeats(Summary(rows=49, repeats={1: 49}), bins, LIMITS).state == "insufficient"


def test_gaps_are_named_by_feature_and_kind(bins: Bins) -> None:
    width = len(bins.features[0].reference)
    cells = np.zeros(width + len(bins.features[1].reference), np.int64)
    cells[0], cells[5] = 80, 920
    cells[width + 1], cells[width + 2] = 10, 990
    window = Summary(answered=1000, rows=1000, cells=cells)
    found = {(s.kind, s.subject): s.state for s in signals.gaps(window, bins, LIMITS, frozenset())}
    assert found == {
        ("missing values", "n"): "alarm",
        ("missing values", "c"): "ok",
        ("unseen values", "c"): "ok",
    }
    assert {s.subject for s in signals.gaps(window, bins, LIMITS, frozenset({"n"}))} == {"c"}


def test_quiet_windows_give_no_signal(bins: Bins) -> None:
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(200):
        answers = rng.multinomial(400, [0.7, 0.29, 0.01])
        window = Summary(answered=400, binned=400, answers=answers)
        alarms += sum(s.state == "alarm" for s in signals.rare_answers(window, bins, LIMITS))
    assert alarms <= 1
