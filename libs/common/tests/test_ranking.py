"""Rankings: NDCG against its definition, LightGBM's own and chance; rows of a query stay together."""

import itertools
import math
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.bundle.boosting import Prepared, boost
from shipway.bundle.features import encode_target
from shipway.bundle.ranking import Ranked, in_queries, ndcg_by_query, newest_rows, sizes_of, uneven_columns
from shipway.contract.describing import describe_outputs
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Feature, Signature, parse_signature, to_builtins
from shipway.contract.spec import ModelSpec, parse_spec

SIGNATURE = Signature(features=[Feature(name="n", type="number")], output="ranking", target="y")


def spec(**changes: Any) -> ModelSpec:
    raw: dict[str, Any] = {
        "name": "m",
        "data": {"source": "folder:/d", "time_column": "at", "query_column": "q", "train": "30d", "holdout": "5d"},
        "target": {"column": "y", "kind": "ranking"},
        "features": {"n": {"type": "number"}},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
    }
    return parse_spec(raw | changes)


def by_definition(labels: list[int], scores: list[float], at: int) -> float:
    """DCG over its greatest, averaged over all orders that the scores allow."""

    def dcg(order: list[int]) -> float:
        return math.fsum((2.0 ** labels[row] - 1) / math.log2(place + 2) for place, row in enumerate(order[:at]))

    best = dcg(sorted(range(len(labels)), key=lambda row: -labels[row]))
    tied = [
        list(itertools.permutations(group))
        for _, group in itertools.groupby(
            sorted(range(len(labels)), key=lambda row: -scores[row]), key=lambda row: scores[row]
        )
    ]
    orders = [[row for part in parts for row in part] for parts in itertools.product(*tied)]
    return sum(map(dcg, orders)) / len(orders) / best


QUERY = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([-1.0, 0.0, 0.5, 2.0])), min_size=1, max_size=5)


@given(queries=st.lists(QUERY, min_size=1, max_size=4), at=st.integers(1, 6), seed=st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_ndcg_is_that_of_its_definition_in_whatever_order_rows_lie(
    queries: list[list[tuple[int, float]]], at: int, seed: int
) -> None:
    rows = [(number, *row) for number, query in enumerate(queries) for row in query]
    order = np.random.default_rng(seed).permutation(len(rows))
    number, labels, scores = (np.array(part) for part in zip(*(rows[i] for i in order), strict=True))
    found = ndcg_by_query(labels.astype(float), scores, Ranked(number, at))
    telling = [query for query in queries if len({label for label, _ in query}) > 1]
    expected = [by_definition([label for label, _ in query], [score for _, score in query], at) for query in telling]
    assert found == pytest.approx(expected)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_training_stops_by_the_ndcg_that_is_measured_here(objective: str) -> None:
    rng = np.random.default_rng(3)
    queries = np.repeat(np.arange(80), rng.integers(4, 14, 80))
    features = rng.normal(size=(len(queries), 3))
    labels = np.clip(np.round(features[:, 0] + rng.normal(size=len(queries)) + 1), 0, 3)
    for one in range(80):  # so that every query tells, and LightGBM's mean is of the same ones
        labels[np.flatnonzero(queries == one)[:2]] = (0, 2)
    validation = newest_rows(queries, len(queries), 0.25)
    heard: list[float] = []
    changes = {"rounds": 12, "early_stopping_rounds": None, "params": {"objective": objective, "min_data_in_leaf": 5}}
    model = boost(
        spec(training=changes, gates={"ndcg_at": 4}),
        ranking_of(3),
        Prepared(features, labels, validation, queries=queries),
        1,
        on_loss=lambda _, loss: heard.append(-loss),
    )
    cut = len(labels) - validation
    scores = model.scores(features[cut:])[:, 0]
    as_lightgbm = scores - 1e-9 * np.arange(len(scores))  # which takes rows of equal scores as they come
    how = Ranked(queries[cut:], 4)
    assert ndcg_by_query(labels[cut:], as_lightgbm, how).mean() == pytest.approx(heard[-1])
    assert heard[-1] > ndcg_by_query(labels[cut:], np.zeros(len(scores)), how).mean() + 0.1
    theirs = lightgbm.Booster(model_str=model.text.decode()).predict(features[cut:])
    np.testing.assert_array_equal(scores, theirs)


def ranking_of(count: int) -> Signature:
    features = [Feature(name=f"n{i}", type="number") for i in range(count)]
    return Signature(features=features, output="ranking", target="y")


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30), share=st.floats(0, 0.89))
def test_the_newest_rows_are_whole_queries_and_never_all(sizes: list[int], share: float) -> None:
    queries = np.repeat(np.arange(len(sizes)), sizes)
    newest, rows = newest_rows(queries, len(queries), share), len(queries)
    assert not set(queries[: rows - newest]) & set(queries[rows - newest :])
    assert newest < rows
    if len(sizes) > 1 and int(rows * share):
        assert newest >= min(int(rows * share), rows - sizes[0])


def test_rows_of_a_query_are_put_together_in_the_order_of_the_first_ones() -> None:
    table = pa.table({"q": ["b", "a", "b", "c", "a"], "row": range(5), "part": ["x", "y", "x", "z", "w"]})
    together, queries = in_queries(spec(), table)
    assert queries is not None
    assert together["row"].to_pylist() == [0, 2, 1, 4, 3]
    assert (queries.tolist(), sizes_of(queries).tolist()) == ([0, 0, 1, 1, 2], [2, 2, 1])
    assert uneven_columns(together, queries, ["q", "part"]) == ["part"]
    with pytest.raises(InvalidField, match=r"data\.query_column: 'q' is null in 1 rows"):
        in_queries(spec(), pa.table({"q": ["b", None]}))
    with pytest.raises(InvalidField, match=r"data\.query_column: must be a column of text"):
        in_queries(spec(), pa.table({"q": [0.5, 0.25]}))


def test_a_relevance_is_a_whole_number_and_anything_else_none() -> None:
    numbers, known = encode_target(SIGNATURE, pa.table({"y": [0.0, 30.0, 31.0, -1.0, 1.5, None]}))
    assert known.tolist() == [True, True, False, False, False, False]
    clicked, known = encode_target(SIGNATURE, pa.table({"y": [True, False, None]}))
    assert (clicked[:2].tolist(), known.tolist()) == ([1.0, 0.0], [True, True, False])
    assert numbers[1] == 30


def test_rows_of_a_request_are_told_with_their_ranks() -> None:
    told = describe_outputs(SIGNATURE, [[-1.0], [2.5], [2.5], [0.0]])
    assert [one["rank"] for one in told] == [4, 1, 2, 3]
    assert told[0] == {"score": -1.0, "rank": 4}
    assert parse_signature(to_builtins(SIGNATURE)) == SIGNATURE
    with pytest.raises(InvalidField, match="do not fit ranking output"):
        parse_signature(to_builtins(SIGNATURE) | {"classes": ["a", "b"]})
