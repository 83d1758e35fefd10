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
from shipway.evaluator.verdict import NOT_JUDGED, Champion, Evidence, Measured, Opened, Verdict, judge

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SIGNATURE = Signature(features=[Feature(name="n", type="number")], output="binary", target="y", classes=["0", "1"])
GATES = [
    "bundle-intact",
    "size",
    "model-file",
    "golden-rows",
    "holdout-untouched",
    "holdout-size",
    "floor",
    "champion",
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
    return Measured(rows, 3, {"auc": auc}, {"auc": 0.5}, against_champion={"auc": auc}, **more)


GOOD = Evidence(opened(floor=0.6, max_regression=0.01), measured=measured())


def gate(verdict: Verdict, name: str) -> Any:
    return next(g for g in verdict.gates if g.name == name)


FIGURES = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)
METRICS = st.dictionaries(st.sampled_from(["auc", "log_loss", "accuracy"]), FIGURES)
PROBLEMS = st.none() | st.just("broken")
EVIDENCE = st.builds(
    Evidence,
    opened=st.none()
    | st.builds(
        opened,
        metric=st.sampled_from(["auc", "log_loss", "accuracy"]),
        floor=st.none() | st.floats(0, 1),
        max_regression=st.floats(0, 0.1),
        min_holdout_rows=st.integers(1, 1000),
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
        champion=METRICS,
        against_champion=METRICS,
        champion_problem=PROBLEMS,
    ),
    measuring_problem=PROBLEMS,
    champion=st.none() | st.builds(Champion, version=st.just(3), signature=st.none() | st.just(SIGNATURE)),
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
    else:
        assert any(f"{g.name}: {g.reason}" in verdict.reason for g in verdict.gates if not g.passed)


@given(ours=st.floats(0, 1), theirs=st.floats(0, 1), allowed=st.floats(0, 0.2))
def test_a_candidate_may_be_worse_than_the_champion_by_what_is_allowed(
    ours: float, theirs: float, allowed: float
) -> None:
    evidence = Evidence(
        opened(max_regression=allowed),
        measured=measured(ours, champion={"auc": theirs}),
        champion=Champion(3, SIGNATURE),
    )
    assert gate(judge(evidence), "champion").passed == (ours >= theirs - allowed)


@given(ours=st.floats(0, 5), theirs=st.floats(0, 5), allowed=st.floats(0, 1))
def test_a_loss_counts_the_other_way(ours: float, theirs: float, allowed: float) -> None:
    figures = Measured(
        500, 0, {"log_loss": ours}, {"log_loss": 9}, {"log_loss": theirs}, against_champion={"log_loss": ours}
    )
    evidence = Evidence(
        opened(metric="log_loss", max_regression=allowed), measured=figures, champion=Champion(3, SIGNATURE)
    )
    assert gate(judge(evidence), "champion").passed == (ours <= theirs + allowed)


def test_good_evidence_is_approved_and_each_flaw_is_named() -> None:
    assert judge(GOOD).approved
    flaws: dict[str, Evidence] = {
        "bundle-intact": replace(GOOD, bundle_problem="damaged"),
        "size": replace(GOOD, opened=replace(opened(), total_bytes=300_000_000)),
        "model-file": replace(GOOD, model_file_problem="a cycle"),
        "golden-rows": replace(GOOD, golden_problem="row 3 differs"),
        "holdout-untouched": replace(GOOD, opened=replace(opened(), train_to=T0 + timedelta(seconds=1))),
        "holdout-size": replace(GOOD, measured=measured(rows=99)),
        "floor": replace(GOOD, measured=measured(0.59)),
        "champion": replace(GOOD, measured=measured(0.7, champion={"auc": 0.72}), champion=Champion(3, SIGNATURE)),
    }
    for name, evidence in flaws.items():
        verdict = judge(evidence)
        assert [g.name for g in verdict.gates if not g.passed] == [name]
        assert verdict.reason.startswith(f"{name}: ")


def test_the_first_version_must_beat_a_constant() -> None:
    assert not judge(Evidence(opened(), measured=measured(0.5))).approved
    assert judge(Evidence(opened(), measured=measured(0.51))).approved


def test_a_champion_that_can_not_be_scored_is_no_free_pass() -> None:
    champion = Champion(3, SIGNATURE)
    verdict = judge(replace(GOOD, measured=measured(0.4, champion_problem="n: is gone"), champion=champion))
    assert not gate(verdict, "champion").passed
    assert "champion 3 can't be compared: n: is gone" in gate(verdict, "champion").reason


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_a_number_passes_nothing(wrong: float) -> None:
    verdict = judge(Evidence(opened(), measured=measured(wrong)))
    assert not gate(verdict, "floor").passed
    assert not gate(verdict, "champion").passed


def test_what_follows_from_an_unreadable_bundle_is_not_named_as_a_reason() -> None:
    verdict = judge(Evidence(None, "bundle missing", NOT_JUDGED + "x", NOT_JUDGED + "x"))
    assert verdict.reason == "bundle-intact: bundle missing"


def test_a_crash_while_scoring_is_the_reason() -> None:
    verdict = judge(Evidence(opened(), measuring_problem="the process was ended by SIGSEGV; tried 3 times"))
    assert verdict.reason == "holdout-size: the process was ended by SIGSEGV; tried 3 times"
