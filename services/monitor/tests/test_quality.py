"""Quality by labels: the losses, sums that add up and can be taken off, confidence, and how labels ripen."""

import math
import random
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.signature import Feature, Signature
from shipway.monitor.quality import AGES, Answered, Judge, Judged, Quality, figures, maturity, mean_loss, watched_loss

T0 = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = [Feature(name="n", type="number")]
BINARY = Signature(features=FEATURES, output="binary", target="y", classes=["false", "true"])
THREE = Signature(features=FEATURES, output="multiclass", target="y", classes=["0", "1", "2"])
NUMBER = Signature(features=FEATURES, output="regression", target="y")


@pytest.mark.parametrize(
    ("signature", "scores", "label", "loss", "correct"),
    [
        (BINARY, [0.8], True, 0.04, True),
        (BINARY, [0.8], "false", 0.64, False),
        (BINARY, [1.5], True, 0.0, True),
        (THREE, [0.5, 0.3, 0.2], 1.0, (0.25 + 0.49 + 0.04) / 2, False),
        (THREE, [0.0, 0.0, 1.0], "0", 1.0, False),
        (NUMBER, [3.0], 1.0, 0.2, False),
        (NUMBER, [99.0], 1, 1.0, False),
    ],
)
def test_the_loss_of_each_kind(
    signature: Signature, scores: list[float], label: float | str, loss: float, correct: bool
) -> None:
    judged = Judge(signature, scale=10.0).judge(scores, label)
    assert judged is not None and judged.loss == pytest.approx(loss) and judged.correct == correct


@pytest.mark.parametrize(
    ("signature", "scores", "label"),
    [
        (BINARY, [0.5], "maybe"),
        (BINARY, [0.5], 1.5),
        (THREE, [0.1], "0"),
        (THREE, [0.5, 0.5, 0.0], True),
        (NUMBER, [1.0], "1"),
        (NUMBER, [1.0], True),
        (NUMBER, [math.nan], 1.0),
        (NUMBER, [1.0], math.inf),
    ],
)
def test_a_label_that_is_none_of_the_targets_is_not_judged(
    signature: Signature, scores: list[float], label: float | str
) -> None:
    assert Judge(signature).judge(scores, label) is None


judgements = st.builds(
    Judged,
    loss=st.floats(0, 1),
    correct=st.booleans(),
    chance=st.floats(0, 1),
    error=st.floats(-5, 5),
    stated=st.floats(0, 1),
    came=st.booleans(),
)
delays = st.floats(-10, 1e7).map(lambda s: timedelta(seconds=s))


@given(st.lists(st.tuples(judgements, delays)), st.lists(st.tuples(judgements, delays)))
def test_sums_add_up_and_what_is_taken_off_leaves_nothing(
    some: list[tuple[Judged, timedelta]], others: list[tuple[Judged, timedelta]]
) -> None:
    together, apart, more = Quality(), Quality(), Quality()
    for judged, delay in some + others:
        together.count(judged, delay)
    for judged, delay in some:
        apart.count(judged, delay)
    for judged, delay in others:
        more.count(judged, delay)
    apart.add(more)
    assert flat(apart) == pytest.approx(flat(together), abs=1e-6)
    assert Quality(**asdict(together)) == together
    for judged, delay in some + others:
        together.count(judged, delay, -1)
    assert flat(together) == pytest.approx([0.0] * len(flat(together)), abs=1e-6)


def flat(quality: Quality) -> list[float]:
    found: list[float] = []
    for value in asdict(quality).values():
        found += value if isinstance(value, list) else [value]
    return found


def test_the_interval_holds_the_true_loss_as_often_as_it_says() -> None:
    rng = random.Random(5)
    judge, held = Judge(BINARY), 0
    for _ in range(400):
        quality = Quality()
        for _ in range(200):
            judged = judge.judge([0.3], rng.random() < 0.3)
            assert judged is not None
            quality.count(judged, timedelta(0))
        found = mean_loss(quality)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= 0.21 <= found.high
    assert 0.92 <= held / 400 <= 0.98
    assert mean_loss(Quality()) is None


def test_figures_of_well_and_badly_calibrated_answers() -> None:
    well, badly = Quality(), Quality()
    for n in range(100):
        for quality, p in ((well, 0.25), (badly, 0.75)):
            judged = Judge(BINARY).judge([p], n % 4 == 0)
            assert judged is not None
            quality.count(judged, timedelta(0))
    assert figures(well, "binary")["calibration_error"] == pytest.approx(0.0)
    assert figures(badly, "binary")["calibration_error"] == pytest.approx(0.5)
    assert figures(well, "binary")["accuracy"] == 0.75
    errors = Quality()
    for error in (3.0, -4.0):
        errors.count(Judged(1.0, error=error), timedelta(0))
    assert figures(errors, "regression") == {"mae": 3.5, "rmse": pytest.approx(math.sqrt(12.5))}
    assert figures(Quality(), "binary") == {}


def test_maturity_counts_only_predictions_that_are_old_enough() -> None:
    by_an_hour = [0, 0, 40] + [0] * (len(AGES) - 2)
    windows = [
        Answered(T0 - timedelta(days=3), 100, by_an_hour),
        Answered(T0 - timedelta(minutes=5), 900, [90, 0] + [0] * (len(AGES) - 1)),
    ]
    found = {m.age: (m.predictions, m.labelled, m.share) for m in maturity(windows, T0)}
    assert found[timedelta(minutes=1)] == (1000, 90, 0.09)
    assert found[timedelta(hours=1)] == (100, 40, 0.4)
    assert found[timedelta(days=3)] == (100, 40, 0.4)
    assert timedelta(days=7) not in found


def test_an_interval_for_every_look_misses_the_mean_seldom_though_each_label_is_a_look() -> None:
    chance, missed = random.Random(5), 0
    for _ in range(100):
        seen, misses = Quality(), 0
        for _ in range(400):
            seen.count(Judged(float(chance.random() < 0.3)), timedelta(0))
            found = watched_loss(seen)
            assert found is not None
            misses += not (found.low or 0.0) <= 0.3 <= (1.0 if found.high is None else found.high)
        missed += misses > 0
    assert missed <= 10


def test_an_interval_for_every_look_is_wider_and_there_from_thirty_labels_on() -> None:
    few, many = Quality(29, 10.0, 5.0), Quality(1000, 300.0, 150.0)
    assert watched_loss(few) == mean_loss(few)
    once, ever = mean_loss(many), watched_loss(many)
    assert once is not None and ever is not None and once.low is not None and ever.low is not None
    assert ever.low < once.low and once.low - ever.low < 0.05
    assert watched_loss(Quality()) is None
