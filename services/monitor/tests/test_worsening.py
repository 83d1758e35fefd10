"""Quality by labels with an interval that hours give, calibration, and what answers expect of themselves."""

from datetime import timedelta

import numpy as np
import pytest

from shipway.contract.signature import Feature, Signature
from shipway.monitor.quality import Judge, Quality
from shipway.monitor.worsening import Rule, Sure, by_labels, by_probabilities, interval

RULE = Rule(drop=0.1, min_labels=200, max_calibration_error=0.1, metric="accuracy")
BINARY = Signature(features=[Feature(name="n", type="number")], output="binary", target="y", classes=["false", "true"])


def hours(seed: int, count: int, labels: int, *, off: float = 0.0) -> list[Quality]:
    """Hours of labelled answers whose probabilities are true, but for ``off``."""
    rng, judge = np.random.default_rng(seed), Judge(BINARY)
    found = []
    for _ in range(count):
        hour = Quality()
        for p in rng.beta(1, 1, labels):
            truth = p + off * (1 - 2 * p)
            came = judge.judge([p], "true" if rng.random() < truth else "false")
            assert came is not None
            hour.count(came, timedelta(hours=1))
        found.append(hour)
    return found


def states(seed: int, **how: float) -> dict[tuple[str, str], str]:
    found = by_labels(
        3, hours(seed, 24, 50, **how), 2400, {"accuracy": 0.75, "log_loss": 0.5, "auc": 0.8}, "binary", RULE
    )
    assert {one.version for one in found} == {3}
    return {(one.kind, one.subject): one.state for one in found}


def test_answers_as_good_as_on_the_holdout_are_ok_and_worse_ones_are_found() -> None:
    assert states(1) == {("quality", "accuracy"): "ok", ("quality", "log_loss"): "ok", ("calibration", ""): "ok"}
    assert set(states(1, off=0.9).values()) == {"alarm"}


def test_a_finding_says_how_good_on_how_many_and_how_good_it_was() -> None:
    (accuracy, *_) = by_labels(3, hours(1, 24, 50), 2400, {"accuracy": 0.75}, "binary", RULE)
    assert accuracy.limit == pytest.approx(0.675)
    assert "1,200 labelled answers, 50% of all; 0.75 on the holdout" in accuracy.reason


def test_few_labels_or_few_hours_say_nothing() -> None:
    for few in (hours(1, 24, 8), hours(1, 7, 100), []):
        found = by_labels(3, few, 1000, {"accuracy": 0.99}, "binary", RULE)
        assert next(one for one in found if one.subject == "accuracy").state == "insufficient"


def test_the_floor_of_the_gates_counts_where_it_is_stricter() -> None:
    floor = Rule(drop=0.5, min_labels=200, max_calibration_error=0.1, metric="accuracy", floor=0.9)
    (accuracy, *_) = by_labels(3, hours(1, 24, 50), 2400, {"accuracy": 0.75}, "binary", floor)
    assert (accuracy.limit, accuracy.state) == (0.9, "alarm")


def test_an_interval_is_wider_where_answers_of_an_hour_are_alike() -> None:
    same = interval("accuracy", [Quality(labelled=200, correct=160 + (-1) ** hour * 4) for hour in range(24)])
    alike = interval("accuracy", [Quality(labelled=200, correct=160 + (-1) ** hour * 20) for hour in range(24)])
    assert same is not None and alike is not None
    assert alike.high - alike.low == pytest.approx(5 * (same.high - same.low))


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(9), 0
    for _ in range(400):
        sample = []
        for _hour in range(24):
            n = int(rng.integers(20, 200))
            right = int(rng.binomial(n, min(max(rng.normal(0.8, 0.05), 0), 1)))
            sample.append(Quality(labelled=n, correct=right))
        found = interval("accuracy", sample)
        assert found is not None
        inside += found.low <= 0.8 <= found.high
    assert inside >= 0.97 * 400


def test_errors_of_regression_are_judged_by_both_their_metrics() -> None:
    sample = [Quality(labelled=50, error_sum=50 * 3.0, error_square_sum=50 * 16.0 + hour) for hour in range(24)]
    found = by_labels(1, sample, 1200, {"mae": 2.0, "rmse": 4.0}, "regression", RULE)
    assert {one.subject: one.state for one in found} == {"mae": "alarm", "rmse": "ok"}


def sure(probabilities: np.ndarray) -> Sure:
    return Sure((float(probabilities.sum()), float((probabilities**2).sum())), len(probabilities))


def test_answers_that_are_less_sure_than_in_the_reference_are_expected_to_be_worse() -> None:
    rng = np.random.default_rng(1)
    before, same, worse = (sure(rng.uniform(low, low + 0.2, 5000)) for low in (0.75, 0.75, 0.55))
    assert by_probabilities(1, same, before, RULE, "ok", 0.0).state == "ok"
    bad = by_probabilities(1, worse, before, RULE, "ok", 0.25)
    assert (bad.kind, bad.state, bad.alarm) == ("estimated quality", "alarm", True)
    assert bad.reason.endswith(
        "by the probabilities of 5,000 answers, 0.849 in the reference; 25% of them have a label"
    )


def test_answers_that_are_not_calibrated_say_nothing_of_themselves() -> None:
    answers = sure(np.full(5000, 0.6))
    found = by_probabilities(1, answers, sure(np.full(5000, 0.9)), RULE, "alarm", None)
    assert (found.state, found.alarm) == ("insufficient", False)
    assert by_probabilities(1, answers, Sure((0.0, 0.0), 5000), RULE, "ok", None).state == "insufficient"


def test_a_ranking_is_worse_where_its_ndcg_is_lower() -> None:
    rng = np.random.default_rng(4)

    def of(ndcg: float) -> list[Quality]:
        losses = [rng.uniform(0.8 - ndcg, 1.2 - ndcg, 20) for _ in range(24)]
        hours = [Quality(20, float(loss.sum()), float((loss**2).sum())) for loss in losses]
        for hour in hours:
            hour.ripen(200, timedelta(0))
        return hours

    by_ndcg = Rule(drop=0.1, min_labels=200, max_calibration_error=0.1, metric="ndcg", floor=0.65)
    for holdout, ndcg, state in ((0.8, 0.8, "ok"), (0.7, 0.8, "ok"), (0.8, 0.6, "alarm"), (0.6, 0.6, "alarm")):
        [found] = by_labels(3, of(ndcg), 4800, {"ndcg": holdout}, "ranking", by_ndcg)
        assert (found.subject, found.state, found.alarm) == ("ndcg", state, state == "alarm"), (holdout, ndcg)
    assert found.limit == 0.65, "the floor, below which no version is approved"
    assert "480 queries with all labels, 4,800 rows, 100% of all" in found.reason
