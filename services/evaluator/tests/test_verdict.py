"""The verdict, for all evidence: approved only if every gate passed, and every gate always reported."""

import math
from dataclasses import replace

import pytest
from evidences import (
    CHAMPION,
    EVIDENCE,
    FLAWS,
    GATES,
    GOOD,
    GOOD_SECOND,
    WORSE,
    against,
    gate,
    measured,
    opened,
)
from hypothesis import given
from hypothesis import strategies as st

from shipway.evaluator.facts import Difference, Evidence, Overlap, Slice, Stability
from shipway.evaluator.gates.outcome import NOT_JUDGED
from shipway.evaluator.verdict import judge


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


@pytest.mark.parametrize("name", GATES)
def test_good_evidence_is_approved_and_each_flaw_is_named(name: str) -> None:
    assert judge(GOOD).approved
    assert judge(GOOD_SECOND).approved
    verdict = judge(FLAWS[name])
    assert not verdict.approved
    assert [g.name for g in verdict.gates if not g.passed] == [name]
    assert verdict.reason.startswith(f"{name}: ")


def test_a_model_file_can_want_a_person_for_each_version() -> None:
    spec = opened().spec
    manual = spec.model_copy(update={"release": spec.release.model_copy(update={"approval": "manual"})})
    assert (
        judge(replace(GOOD, opened=replace(opened(), spec=manual))).hold == "its model file wants a person's approval"
    )


@pytest.mark.parametrize(("origin", "waits"), [("training", False), ("import", False), ("search", True)])
def test_what_a_search_found_waits_for_a_person(origin: str, waits: bool) -> None:
    verdict = judge(replace(GOOD, origin=origin))
    assert verdict.approved
    assert bool(verdict.hold) is waits
    assert judge(replace(GOOD, origin=origin, golden_problem="row 3 differs")).hold == ""


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


@pytest.mark.parametrize(("figure", "passes"), [(0.5, True), (0.6, True), (0.61, False)])
def test_the_floor_of_a_loss_is_a_ceiling(figure: float, passes: bool) -> None:
    evidence = replace(GOOD, opened=opened(metric="log_loss", floor=0.6))
    evidence = replace(evidence, measured=measured(metrics={"log_loss": figure}))
    assert gate(judge(evidence), "floor").passed is passes


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
