"""Evidence for verdicts: fine, with one flaw each, and of any kind (Hypothesis)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from shipway.contract.events import Gate
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
from shipway.evaluator.verdict import MEASURED_GATES, Verdict

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


def gate(verdict: Verdict, name: str) -> Gate:
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
