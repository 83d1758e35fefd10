"""Data that is not to be trained on is refused with field and remedy; rows are set aside, and counted by why."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import InvalidSpec, ModelSpec, parse_spec
from shipway.trainer.checks import FeatureFigures, Figures, Rows, UnfitData, hold, problems_of_figures, problems_of_rows
from shipway.trainer.measures import alone, set_aside

RawSpec = Callable[..., dict[str, Any]]
RNG = np.random.default_rng(3)
N = 4000
Y = RNG.random(N) < 0.3


@pytest.fixture
def spec(raw_spec: RawSpec) -> Callable[..., ModelSpec]:
    return lambda **changes: parse_spec(raw_spec(**({"training": {"min_rows": 100}} | changes)))


def test_good_figures_have_no_problem(spec: Callable[..., ModelSpec]) -> None:
    figures = Figures([FeatureFigures("n", 0.5, 0.9)], {"no": 0.9, "yes": 0.1})
    assert problems_of_figures(spec(), figures) == []
    assert problems_of_rows(spec(), Rows(100, {"no target": 50}, "30d")) == []


def test_every_problem_is_named_with_its_remedy(spec: Callable[..., ModelSpec]) -> None:
    figures = Figures([FeatureFigures("n", 0.995, 1.0)], {"no": 1.0, "yes": 0.0}, constant_target=True)
    problems = problems_of_figures(spec(), figures)
    assert [p.field for p in problems] == ["features.n", "features.n", "target.column", "target.column"]
    for problem, words in zip(problems, ("remove it", "mend the data", "mend the labels", "mend"), strict=True):
        assert words in problem.problem
    with pytest.raises(UnfitData, match=r"features\.n: predicts 'y' all by itself .*; features\.n: is missing"):
        hold(problems)
    few = problems_of_rows(spec(), Rows(9, {"no target": 1000, "without n": 3}, "30d"))
    assert [p.field for p in few] == ["training.min_rows", "checks.max_set_aside"]
    assert "1,000 no target, 3 without n" in few[1].problem


def test_limits_of_the_model_file_count(spec: Callable[..., ModelSpec]) -> None:
    figures = Figures([FeatureFigures("n", 0.995, 1.0)], {"no": 1.0, "yes": 0.0})
    free = spec(checks={"max_alone": 1, "max_missing": 1, "min_label_share": 0})
    assert problems_of_figures(free, figures) == []


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ({"type": "category", "min": 1}, 'min: goes with max and type = "number"'),
        ({"type": "number", "min": 2, "max": 1}, "min: 2 is more than max, 1"),
        ({"type": "number", "min": float("nan")}, "min: "),
    ],
)
def test_a_wrong_range_is_refused(raw_spec: RawSpec, feature: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        parse_spec(raw_spec(features={"n": feature}))


BINARY = Signature(features=[Feature(name="n", type="number")], output="binary", target="y", classes=["no", "yes"])
MANY = Signature(features=BINARY.features, output="multiclass", target="y", classes=["a", "b", "c"])
NUMBER = Signature(features=BINARY.features, output="regression", target="y")
CLASS = RNG.integers(0, 3, N).astype(float)
VALUE = RNG.normal(size=N)


@pytest.mark.parametrize(
    ("signature", "values", "labels"),
    [
        (BINARY, Y.astype(float), Y),
        (BINARY, Y * 5.0 + RNG.random(N), Y),
        (BINARY, np.where(Y, np.nan, 1.0), Y),
        (BINARY, np.where(RNG.random(N) < 0.002, ~Y, Y).astype(float), Y),
        (MANY, CLASS, CLASS),
        (MANY, CLASS * -3 + RNG.random(N), CLASS),
        (NUMBER, VALUE, VALUE),
        (NUMBER, np.exp(VALUE), VALUE),
    ],
)
def test_a_feature_that_gives_the_target_away_is_found(signature: Signature, values: Any, labels: Any) -> None:
    assert alone(signature, values, labels.astype(float)) > 0.99


@pytest.mark.parametrize(
    ("signature", "values", "labels"),
    [
        (BINARY, RNG.normal(size=N), Y),
        (BINARY, np.arange(N, dtype=float) % 1999, Y),  # a category that all but names the row
        (BINARY, Y + RNG.normal(size=N) * 0.5, Y),
        (MANY, CLASS + RNG.normal(size=N), CLASS),
        (NUMBER, VALUE + RNG.normal(size=N) * 0.3, VALUE),
        (BINARY, np.full(N, np.nan), Y),
        (BINARY, Y[:50].astype(float), Y[:50]),  # too few rows to say
    ],
)
def test_a_feature_that_is_merely_good_is_no_leak(signature: Signature, values: Any, labels: Any) -> None:
    assert alone(signature, values, labels.astype(float)) < 0.97


def table(**columns: Any) -> pa.Table:
    rows = {"at": [1, 2, 3, 4, 5, 6], "id": ["a", "b", "a", "c", None, None], "c": ["x"] * 6}
    rows |= {"n": [1.0, 2.0, 3.0, None, 99.0, 5.0], "y": [True, False, True, False, True, None]}
    return pa.table(rows | columns)


def test_rows_are_set_aside_and_counted_once(spec: Callable[..., ModelSpec]) -> None:
    data = {"source": "folder:/x", "time_column": "at", "id_column": "id", "train": "30d", "holdout": "5d"}
    features = {"n": {"type": "number", "nullable": False, "max": 10, "min": 0}, "c": {"type": "category"}}
    left, counts = set_aside(spec(data=data, features=features), table())
    assert left.tolist() == [False, True, True, False, False, False]
    assert counts == {
        "no target": 1,
        "of an id that comes again later": 1,
        "without n": 1,
        "with n out of range": 1,
    }
    kept, _ = set_aside(spec(data=data, features=features, checks={"duplicates": "keep"}), table())
    assert kept[0]


@given(ids=st.lists(st.none() | st.sampled_from("abc"), min_size=2, max_size=20))
def test_of_each_id_the_newest_row_is_left_and_all_without_one(ids: list[str | None]) -> None:
    data = {"source": "folder:/x", "time_column": "at", "id_column": "id", "train": "30d", "holdout": "5d"}
    raw = {"name": "m", "data": data, "target": {"column": "y", "kind": "regression"}}
    raw |= {"features": {"n": {"type": "number"}}, "retirement": {"max_age": "1d", "unused_for": "1d"}}
    rows = pa.table({"id": pa.array(ids, pa.string()), "y": [1.0] * len(ids), "n": [1.0] * len(ids)})
    left, _ = set_aside(parse_spec(raw), rows)
    newest = {name: at for at, name in enumerate(ids) if name is not None}
    assert [at for at, kept in enumerate(left) if kept] == sorted(
        [*newest.values(), *(at for at, name in enumerate(ids) if name is None)]
    )
