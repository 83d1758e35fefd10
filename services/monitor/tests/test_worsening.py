"""Quality by labels with an interval that hours give, calibration, and what answers expect of themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import parse_spec
from shipway.monitor import qualitywatch
from shipway.monitor.bins import make_bins
from shipway.monitor.quality import Judge, Quality
from shipway.monitor.summary import Summary
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


async def test_of_a_ranking_it_is_said_that_quality_is_not_judged(raw_spec: Any) -> None:
    signature = Signature(features=[Feature(name="n", type="number")], output="ranking", target="y")
    numbers = np.random.default_rng(1).normal(size=(300, 1))
    bins = make_bins(signature, numbers, numbers)
    raw = raw_spec(target={"column": "y", "kind": "ranking"})
    spec = parse_spec(raw | {"data": raw["data"] | {"query_column": "q"}})
    nobody: Any = None  # the database is not asked
    [finding] = await qualitywatch.found(nobody, "m", spec, 3, Summary(), bins, datetime(2026, 1, 1, tzinfo=UTC))
    assert (finding.kind, finding.state, finding.alarm) == ("quality", "insufficient", False)
    assert finding.reason.startswith("not judged: the label of one row")
    assert bins.sureness == (0.0, 0.0) and sum(bins.answers_reference) == 300
