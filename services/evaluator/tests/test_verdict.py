"""The verdict, for all evidence: approved only if every gate passed, and every gate always reported."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import parse_spec
from shipway.evaluator.facts import (
    Calibration,
    CalibrationBin,
    Champion,
    Difference,
    Evidence,
    Latency,
    Measured,
    Opened,
    Overlap,
    Slice,
    Stability,
)
from shipway.evaluator.gates.outcome import NOT_JUDGED
from shipway.evaluator.verdict import MEASURED_GATES, Verdict, judge

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SIGNATURE = Signature(features=[Feature(name="n", type="number")], output="binary", target="y", classes=["0", "1"])
GATES = [
    *("bundle-intact", "size", "model-file", "golden-rows", "holdout-untouched"),
    *MEASURED_GATES,
    "signature-compatible",
]


def opened(*, kind: str = "binary", signature: Signature = SIGNATURE, **gates: Any) -> Opened:
    spec = parse_spec(
        {
            "name": "m",
            "data": {"source": "folder:/x", "time_column": "at", "train": "10d", "holdout": "2d"},
            "target": {"column": "y", "kind": kind},
            "features": {"n": {"type": "number"}},
            "gates": gates,
            "retirement": {"max_age": "30d", "unused_for": "1d"},
        }
    )
    return Opened(spec, signature, 1_000_000, T0, T0)


def measured(auc: float = 0.7, rows: int = 500, **more: Any) -> Measured:
    """What is measured of a fine first version, but for what is said."""
    fine: dict[str, Any] = {
        "metrics": {"auc": auc},
        "constant": {"auc": 0.5},
        "beats_constant": Difference(auc - 0.5, auc - 0.51, auc - 0.49),
        "overlap": Overlap(1000, 0.0, 0.0),
        "telling": {"n": 0.3},
        "calibration": Calibration(0.02, [CalibrationBin(500, 0.4, 0.42)]),
        "stability": Stability([0.7, 0.701, 0.702], 1000, 30),
        "latency": Latency(0.02, 0.03, 1.0),
    }
    return Measured(rows, 3, **(fine | more))


def against(better: Difference | None, ours: float = 0.7, theirs: float = 0.72, **more: Any) -> dict[str, Any]:
    """What is measured with a champion besides."""
    return {"against_champion": {"auc": ours}, "champion": {"auc": theirs}, "better_by": better, **more}


CHAMPION = Champion(3, SIGNATURE)
GOOD = Evidence(opened(floor=0.6, max_regression=0.01), measured=measured())
GOOD_SECOND = replace(GOOD, champion=CHAMPION, measured=measured(**against(Difference(0.0, -0.005, 0.005), 0.7, 0.7)))


def gate(verdict: Verdict, name: str) -> Any:
    return next(g for g in verdict.gates if g.name == name)


FIGURES = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)
SHARES = st.floats(0, 1)
METRICS = st.dictionaries(st.sampled_from(["auc", "log_loss", "accuracy"]), FIGURES)
PROBLEMS = st.none() | st.just("broken")
DIFFERENCES = st.builds(Difference, SHARES, st.none() | FIGURES, st.none() | FIGURES)
EVIDENCE = st.builds(
    Evidence,
    opened=st.none()
    | st.builds(
        opened,
        metric=st.sampled_from(["auc", "log_loss", "accuracy"]),
        floor=st.none() | SHARES,
        comparison=st.sampled_from(["non_inferior", "better"]),
        max_regression=st.none() | st.floats(0, 0.1),
        min_holdout_rows=st.integers(1, 1000),
        slices=st.sampled_from([[], ["n"]]),
        max_calibration_error=st.none() | st.floats(0.01, 1),
        stability_runs=st.sampled_from([0, 2]),
    ).flatmap(lambda o: st.integers(-9, 9).map(lambda s: replace(o, train_to=T0 + timedelta(seconds=s)))),
    bundle_problem=PROBLEMS,
    model_file_problem=PROBLEMS,
    golden_problem=PROBLEMS,
    measured=st.none()
    | st.builds(
        Measured,
        rows=st.integers(0, 1000),
        set_aside=st.integers(0, 9),
        metrics=METRICS,
        constant=METRICS,
        beats_constant=st.none() | DIFFERENCES,
        champion=METRICS,
        against_champion=METRICS,
        better_by=st.none() | DIFFERENCES,
        champion_problem=PROBLEMS,
        slices=st.lists(
            st.builds(Slice, st.just("n"), st.just("a"), st.integers(0, 999), SHARES, SHARES, st.none() | DIFFERENCES),
            max_size=3,
        ),
        calibration=st.none() | st.builds(Calibration, SHARES, st.just([])),
        overlap=st.none() | st.builds(Overlap, st.integers(0, 9), SHARES, SHARES, SHARES, SHARES),
        telling=st.dictionaries(st.just("n"), SHARES),
        stability=st.none()
        | st.builds(Stability, st.lists(SHARES, max_size=3), st.just(9), st.just(9), st.none() | st.just("late")),
        latency=st.none() | st.builds(Latency, SHARES, SHARES, SHARES),
    ),
    measuring_problem=PROBLEMS,
    champion=st.none() | st.builds(Champion, version=st.just(3), signature=st.none() | st.just(SIGNATURE)),
    origin=st.sampled_from(["training", "search", "import"]),
)


@given(evidence=EVIDENCE)
def test_a_version_is_approved_only_if_every_gate_passed(evidence: Evidence) -> None:
    verdict = judge(evidence)
    assert [g.name for g in verdict.gates] == GATES
    assert verdict.approved == all(g.passed for g in verdict.gates)
    assert verdict.approved == (verdict.reason == "")
    assert all(g.reason for g in verdict.gates)
    assert all(g.figure is None or math.isfinite(g.figure) for g in verdict.gates)
    if verdict.approved:
        assert evidence.opened is not None
        assert evidence.measured is not None
        assert evidence.measured.metrics[evidence.opened.spec.metric] is not None
        assert not (evidence.bundle_problem or evidence.model_file_problem or evidence.golden_problem)
        assert evidence.opened.train_to <= evidence.opened.holdout_from
        assert bool(verdict.hold) == (evidence.origin == "search")
    else:
        assert verdict.hold == ""
        assert any(f"{g.name}: {g.reason}" in verdict.reason for g in verdict.gates if not g.passed)


@given(low=st.floats(-0.3, 0.3), width=st.floats(0, 0.1), allowed=st.floats(0, 0.2))
def test_a_candidate_must_be_sure_to_be_worse_by_no_more_than_is_allowed(
    low: float, width: float, allowed: float
) -> None:
    better = Difference(low + width, low, low + 2 * width)
    evidence = Evidence(opened(max_regression=allowed), measured=measured(**against(better)), champion=CHAMPION)
    assert gate(judge(evidence), "champion").passed == (low >= -allowed)
    stricter = opened(max_regression=allowed, comparison="better")
    assert gate(judge(replace(evidence, opened=stricter)), "champion").passed == (low > 0)


def test_too_few_rows_for_an_interval_are_judged_by_the_figure_and_say_so() -> None:
    evidence = replace(GOOD_SECOND, measured=measured(**against(Difference(-0.005))))
    found = gate(judge(evidence), "champion")
    assert found.passed
    assert "on too few rows for an interval" in found.reason


@pytest.mark.parametrize(
    ("metric", "theirs", "allowed"), [("auc", 0.7, 0.01), ("log_loss", 0.7, 0.01), ("rmse", 50.0, 1.0), ("mae", 50, 1)]
)
def test_without_a_limit_a_hundredth_is_allowed_or_two_in_a_hundred_of_an_error(
    metric: str, theirs: float, allowed: float
) -> None:
    kind = "regression" if metric in ("rmse", "mae") else "binary"
    for low, passes in ((-allowed * 0.99, True), (-allowed * 1.01, False)):
        figures = replace(
            measured(),
            champion={metric: theirs},
            against_champion={metric: theirs},
            better_by=Difference(0.0, low, -low),
        )
        evidence = Evidence(opened(kind=kind, metric=metric), measured=figures, champion=CHAMPION)
        assert gate(judge(evidence), "champion").passed is passes


WORSE = Difference(-0.2, -0.3, -0.1)
FLAWS: dict[str, Evidence] = {
    "bundle-intact": replace(GOOD, bundle_problem="damaged"),
    "size": replace(GOOD, opened=replace(opened(), total_bytes=300_000_000)),
    "model-file": replace(GOOD, model_file_problem="a cycle"),
    "golden-rows": replace(GOOD, golden_problem="row 3 differs"),
    "holdout-untouched": replace(GOOD, opened=replace(opened(), train_to=T0 + timedelta(seconds=1))),
    "holdout-size": replace(GOOD, measured=measured(rows=99)),
    "holdout-overlap": replace(GOOD, measured=measured(overlap=Overlap(1000, 0.05, 0.01))),
    "leakage": replace(GOOD, measured=measured(telling={"n": 0.999, "z": 0.1})),
    "floor": replace(GOOD, measured=measured(0.59)),
    "champion": replace(GOOD_SECOND, measured=measured(**against(Difference(-0.02, -0.03, -0.01)))),
    "slices": replace(
        GOOD_SECOND,
        opened=opened(slices=["n"]),
        measured=replace(GOOD_SECOND.measured or measured(), slices=[Slice("n", "a", 300, 0.6, 0.8, WORSE)]),
    ),
    "calibration": replace(
        GOOD, opened=opened(max_calibration_error=0.05), measured=measured(calibration=Calibration(0.06, []))
    ),
    "stability": replace(GOOD, measured=measured(stability=Stability([0.6, 0.7, 0.8], 1000, 30))),
    "latency": replace(GOOD, measured=measured(latency=Latency(1.0, 51.0, 1.0))),
    "signature-compatible": replace(
        GOOD_SECOND,
        champion=Champion(3, Signature(features=[Feature(name="x", type="number")], output="binary", target="y")),
        opened=opened(signature=Signature(features=[Feature(name="x", type="category")], output="binary", target="y")),
    ),
}


@pytest.mark.parametrize("name", GATES)
def test_good_evidence_is_approved_and_each_flaw_is_named(name: str) -> None:
    assert judge(GOOD).approved
    assert judge(GOOD_SECOND).approved
    verdict = judge(FLAWS[name])
    assert [g.name for g in verdict.gates if not g.passed] == [name]
    assert verdict.reason.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "found",
    [
        Slice("n", "a", 199, 0.6, 0.8, WORSE),  # too few rows
        Slice("n", "a", 300, 0.6, 0.8, Difference(-0.2, -0.41, 0.01)),  # chance may have done it
        Slice("n", "a", 300, 0.79, 0.8, Difference(-0.01, -0.015, -0.005)),  # within the limit
        Slice("n", "a", 300, 0.6, None, None),  # not to be compared
        Slice("n", "a", 300, 0.6, 0.8, Difference(-0.2)),  # no interval
    ],
)
def test_a_slice_that_does_not_prove_a_fall_passes(found: Slice) -> None:
    evidence = FLAWS["slices"]
    assert evidence.measured is not None
    assert gate(judge(replace(evidence, measured=replace(evidence.measured, slices=[found]))), "slices").passed


def test_the_first_version_must_beat_a_constant_beyond_chance() -> None:
    for low, passes in ((-0.001, False), (0.0, False), (0.001, True)):
        evidence = Evidence(opened(), measured=measured(0.51, beats_constant=Difference(0.01, low, 0.02)))
        assert gate(judge(evidence), "champion").passed is passes


def test_rows_that_data_repeats_by_nature_are_no_overlap_and_ids_count_too() -> None:
    natural = Overlap(1000, 0.8, 0.795, 0.0, 0.0)
    by_id = Overlap(1000, 0.8, 0.8, 0.05, 0.0)
    assert gate(judge(replace(GOOD, measured=measured(overlap=natural))), "holdout-overlap").passed
    assert not gate(judge(replace(GOOD, measured=measured(overlap=by_id))), "holdout-overlap").passed


def test_what_was_trained_elsewhere_has_no_training_to_look_into() -> None:
    nothing = measured(overlap=Overlap(0, 0.0, 0.0), stability=None)
    assert judge(replace(GOOD, measured=nothing, origin="import")).approved
    verdict = judge(replace(GOOD, measured=nothing))
    assert [g.name for g in verdict.gates if not g.passed] == ["holdout-overlap", "stability"]


def test_stability_that_was_not_asked_for_passes_and_one_that_ran_out_of_time_does_not() -> None:
    assert judge(replace(GOOD, opened=opened(stability_runs=0), measured=measured(stability=None))).approved
    late = Stability([0.7, 0.7], 1000, 30, "2 of 3 trainings were done when the time was used up")
    found = gate(judge(replace(GOOD, measured=measured(stability=late))), "stability")
    assert not found.passed
    assert "raise gates.stability_time" in found.reason


def test_a_champion_that_can_not_be_scored_is_no_free_pass() -> None:
    figures = measured(0.4, champion_problem="n: is gone", beats_constant=Difference(-0.1, -0.2, 0.0))
    found = gate(judge(replace(GOOD, measured=figures, champion=CHAMPION)), "champion")
    assert not found.passed
    assert "champion 3 can't be compared: n: is gone" in found.reason


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_a_number_passes_nothing(wrong: float) -> None:
    verdict = judge(Evidence(opened(), measured=measured(wrong, beats_constant=None)))
    assert not gate(verdict, "floor").passed
    assert not gate(verdict, "champion").passed


def test_what_follows_from_an_unreadable_bundle_is_not_named_as_a_reason() -> None:
    verdict = judge(Evidence(None, "bundle missing", NOT_JUDGED + "x", NOT_JUDGED + "x"))
    assert verdict.reason == "bundle-intact: bundle missing"


def test_a_crash_while_scoring_is_the_reason() -> None:
    verdict = judge(Evidence(opened(), measuring_problem="the process was ended by SIGSEGV; tried 3 times"))
    assert verdict.reason == "holdout-size: the process was ended by SIGSEGV; tried 3 times"
