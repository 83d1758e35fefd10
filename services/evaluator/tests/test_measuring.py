"""What is measured, on data whose truth is known."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.bundle.boosting import Prepared, boost
from shipway.bundle.capi import Booster
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Feature, OutputKind, Signature
from shipway.contract.spec import ModelSpec, parse_spec, to_builtins
from shipway.evaluator.measuring.calibration import calibration
from shipway.evaluator.measuring.cutting import cut
from shipway.evaluator.measuring.latency import latency
from shipway.evaluator.measuring.overlap import content_digest, overlap, row_hashes
from shipway.evaluator.measuring.scoring import of_other_queries
from shipway.evaluator.measuring.stability import stability
from shipway.evaluator.measuring.telling import telling

RNG = np.random.default_rng(1)


def signature(output: OutputKind, *kinds: Any) -> Signature:
    classes = {"binary": ["0", "1"], "multiclass": ["a", "b", "c"]}.get(output, [])
    features = [Feature(name=f"f{i}", type=kind, categories=list("abcd")) for i, kind in enumerate(kinds)]
    return Signature(features=features, output=output, target="y", classes=classes)


@pytest.mark.parametrize("output", ["binary", "multiclass", "regression"])
def test_a_feature_that_is_the_answer_tells_all_of_it_and_noise_nothing(output: OutputKind) -> None:
    delay, noise = RNG.normal(size=4000), RNG.normal(size=4000)
    labels = {
        "binary": (delay > 0.8).astype(float),
        "multiclass": np.digitize(delay, [-1, 0.5]).astype(float),
        "regression": 3 * delay,
    }[output]
    code = np.digitize(delay, [-1, 0.5]).astype(float) if output == "multiclass" else (delay > 0.8).astype(float)
    hidden = np.where(RNG.random(4000) < 0.1, np.nan, noise)
    features = np.column_stack([delay, noise, code, hidden])
    found = telling(
        signature(output, "number", "number", "category", "number"),
        features[:3000],
        labels[:3000],
        features[3000:],
        labels[3000:],
    )
    assert found["f0"] > 0.98
    assert max(found["f1"], found["f3"]) < 0.15
    assert found["f2"] > 0.99 or output == "regression"


def test_a_weak_feature_tells_little_and_nothing_is_told_without_rows() -> None:
    weak = RNG.normal(size=4000)
    labels = (weak + 2 * RNG.normal(size=4000) > 0).astype(float)
    features, form = weak.reshape(-1, 1), signature("binary", "number")
    assert 0.2 < telling(form, features[:2000], labels[:2000], features[2000:], labels[2000:])["f0"] < 0.5
    assert telling(form, features[:0], labels[:0], features, labels) == {}


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([{"n": n, "c": c} for n, c in rows])


def test_rows_that_were_written_again_are_found_and_what_repeats_by_nature_is_usual() -> None:
    train = row_hashes(table([(float(i), "x") for i in range(1000)]), ["n", "c"])
    holdout = row_hashes(table([(float(i), "x") for i in range(950, 1150)]), ["n", "c"])
    found = overlap(train, holdout, None, None)
    assert (found.content, found.usual_content) == (0.25, 0.0)
    coarse = row_hashes(table([(float(i % 10), "x") for i in range(1000)]), ["n", "c"])
    found = overlap(coarse, coarse[:200], coarse, train[:200])
    assert (found.content, found.usual_content) == (1.0, 1.0)
    assert found.training_rows == 1000
    assert found.usual_ids == 1.0


VALUES = st.none() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
ROWS = st.lists(st.tuples(VALUES, st.none() | st.text(max_size=3)), min_size=1, max_size=20)


@given(rows=ROWS, data=st.data())
def test_equal_rows_have_equal_hashes_whatever_their_order_and_type(rows: list[tuple[Any, ...]], data: Any) -> None:
    floats = [(None if n is None else float(n), c) for n, c in rows]
    plain = table(floats)
    shuffled = table(data.draw(st.permutations(floats)))
    hashes = row_hashes(plain, ["n", "c"])
    assert content_digest(hashes) == content_digest(row_hashes(shuffled, ["c", "n"]))
    coded = plain.set_column(1, "c", plain.column("c").cast(pa.string()).dictionary_encode())
    assert (row_hashes(coded, ["n", "c"]) == hashes).all()
    distinct = {(None if n is None else n + 0.0, c) for n, c in floats}
    assert len(set(hashes.tolist())) == len(distinct)


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([["a", "b", None], ["a", "c", "b"]]),
        pa.chunked_array([[True, False, None]]),
        pa.chunked_array([[1, 2, None, 1]]),
        pa.chunked_array([[float(i) for i in range(99)] + [None]]),
        pa.chunked_array([[0.0] * 50 + [float(i) for i in range(50)]]),
        pa.chunked_array([pa.array(["a", None, "b"]).dictionary_encode()]),
        pa.chunked_array([pa.nulls(3)]),
    ],
)
def test_slices_are_apart_and_together_are_all_rows(column: Any) -> None:
    parts = list(cut("c", column))
    assert np.array([inside for _, inside in parts]).sum(axis=0).tolist() == [1] * len(column)
    assert len({value for value, _ in parts}) == len(parts)


def test_a_column_that_can_not_be_cut_is_named() -> None:
    with pytest.raises(InvalidField, match=r"gates\.slices: c is a column of list"):
        list(cut("c", pa.chunked_array([[[1], [2]]])))


def test_predictions_that_mean_what_they_say_are_calibrated() -> None:
    chances = RNG.random(20_000)
    labels = (RNG.random(20_000) < chances).astype(float)
    right = calibration("binary", labels, chances.reshape(-1, 1))
    wrong = calibration("binary", labels, (chances**2).reshape(-1, 1))
    assert right is not None and right.error < 0.02
    assert wrong is not None and wrong.error == pytest.approx(1 / 6, abs=0.02)
    assert sum(b.rows for b in right.bins) == 20_000


def test_a_regression_that_is_off_by_its_spread_is_one_off() -> None:
    labels = RNG.normal(scale=7, size=5000)
    shifted = calibration("regression", labels, (labels + 7).reshape(-1, 1))
    assert shifted is not None and shifted.error == pytest.approx(1, abs=0.05)
    assert calibration("regression", labels[:99], labels[:99].reshape(-1, 1)) is None
    assert calibration("regression", labels, np.full((5000, 1), np.inf)) is None


def spec(params: dict[str, Any], **gates: Any) -> ModelSpec:
    return parse_spec(
        {
            "name": "m",
            "data": {"source": "folder:/x", "time_column": "at", "train": "10d", "holdout": "2d"},
            "target": {"column": "y", "kind": "binary"},
            "features": {"f0": {"type": "number"}, "f1": {"type": "number"}},
            "training": {"params": params},
            "gates": gates,
            "retirement": {"max_age": "30d", "unused_for": "1d"},
        }
    )


SIDES: list[tuple[Any, Any]] = []
for rows in (2000, 1000):
    values = RNG.normal(size=(rows, 2))
    SIDES.append((values, (values.sum(axis=1) + RNG.normal(size=rows) > 0).astype(float)))
CALM = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
WILD = {"learning_rate": 3.0, "num_leaves": 2, "min_data_in_leaf": 1, "bagging_fraction": 0.01, "bagging_freq": 1}


def test_unstable_parameters_spread_and_calm_ones_do_not() -> None:
    form = signature("binary", "number", "number")
    sides = ((*SIDES[0], None), (*SIDES[1], None))
    calm, wild = (stability(spec(p, stability_runs=4), form, 20, *sides) for p in (CALM, WILD))
    assert np.std(calm.figures) < 0.01
    assert np.std(wild.figures) > 0.02
    assert (calm.rows, calm.rounds, calm.problem, len(calm.figures)) == (2000, 20, None, 4)


def test_a_ranking_is_trained_again_on_whole_queries_and_scored_by_them() -> None:
    ranking = spec(CALM, stability_runs=3)
    raw = to_builtins(ranking) | {"target": {"column": "y", "kind": "ranking"}}
    raw["data"] = raw["data"] | {"query_column": "q"}
    sides = [(features, labels, np.arange(len(labels)) // 20) for features, labels in SIDES]
    found = stability(parse_spec(raw), signature("ranking", "number", "number"), 20, *sides)
    assert len(found.figures) == 3 and found.problem is None
    assert min(found.figures) > 0.8 and 0 < np.std(found.figures) < 0.02


def test_of_a_ranking_no_calibration_is_told() -> None:
    assert calibration("ranking", np.ones(500), np.ones((500, 1))) is None


def test_a_query_on_both_sides_of_the_bound_is_not_judged_by() -> None:
    raw = to_builtins(spec(CALM)) | {"target": {"column": "y", "kind": "ranking"}}
    ranking = parse_spec(raw | {"data": raw["data"] | {"query_column": "q"}})
    holdout = pa.table({"q": ["b", "c", "b", None], "y": [1, 0, 1, 0]})
    assert of_other_queries(ranking, holdout, pa.table({"q": ["a", "b", None]}))["q"].to_pylist() == ["c", None]
    assert of_other_queries(spec(CALM), holdout, holdout) is holdout


def test_stability_ends_with_its_processor_time() -> None:
    form = signature("binary", "number", "number")
    found = stability(spec(CALM, stability_time="1ms"), form, 100, (*SIDES[0], None), (*SIDES[1], None))
    assert found.problem == "0 of 3 trainings were done when the time was used up"


def test_a_rows_prediction_is_timed() -> None:
    form = signature("binary", "number", "number")
    model = boost(spec(CALM), form, Prepared(*SIDES[0], 0), 1)
    booster = Booster(model.text)
    found = latency(booster, 1, SIDES[1][0], 0.002)
    booster.close()
    assert 0 < found.p50_ms <= found.p95_ms < 50
    assert found.load_ms == 2
