"""Differences with their intervals: against the textbook, and under simulated chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.bundle.metrics import HIGHER_IS_BETTER, score_metrics
from shipway.bundle.ranking import Ranked
from shipway.contract.signature import OF_NUMBERS, Feature, OutputKind, Signature
from shipway.evaluator.measuring.paired import Matrix, difference, influence

METRICS: list[tuple[str, OutputKind]] = [
    *((name, "binary") for name in ("auc", "log_loss", "accuracy")),
    *((name, "multiclass") for name in ("log_loss", "accuracy")),
    *((name, "regression") for name in ("rmse", "mae")),
    ("ndcg", "ranking"),
]


def draw(output: OutputKind, rows: int, rng: np.random.Generator, skill: float = 1.0) -> tuple[Matrix, Matrix]:
    """Labels, and the scores of a model of some skill for them."""
    signal, noise = rng.normal(size=rows), rng.normal(size=rows)
    if output == "ranking":
        return np.clip(np.round(signal + noise + 1), 0, 3), (skill * signal).reshape(-1, 1)
    if output == "regression":
        return signal * 2 + noise, (skill * signal * 2).reshape(-1, 1)
    if output == "binary":
        return (signal + noise > 0).astype(float), (1 / (1 + np.exp(-skill * signal))).reshape(-1, 1)
    labels = np.clip(np.round(signal + 1), 0, 2)
    weights = np.exp(-skill * np.abs(signal[:, None] + 1 - np.arange(3) + 0.3 * noise[:, None]))
    return labels, weights / weights.sum(axis=1, keepdims=True)


def signature(output: OutputKind) -> Signature:
    classes = {"binary": ["0", "1"], "multiclass": ["0", "1", "2"]}.get(output, [])
    return Signature(features=[Feature(name="n", type="number")], output=output, target="y", classes=classes)


def queries(output: OutputKind, rows: int) -> Ranked | None:
    """Five rows each."""
    return Ranked(np.arange(rows) // 5, 3) if output == "ranking" else None


@pytest.mark.parametrize(("metric", "output"), METRICS)
@given(seed=st.integers(0, 1000), rows=st.integers(5, 60))
@settings(max_examples=20)
def test_the_figure_is_the_metric_and_influences_sum_to_nothing(
    metric: str, output: OutputKind, seed: int, rows: int
) -> None:
    labels, scores = draw(output, rows, np.random.default_rng(seed))
    scores = np.round(scores, 1) if metric == "auc" else scores  # with ties
    how = queries(output, rows)
    figure, added = influence(metric, output, labels, scores, how)
    assert figure == pytest.approx(score_metrics(signature(output), labels, scores, how)[metric], nan_ok=True)
    assert added.sum() == pytest.approx(0, abs=1e-9)


def test_the_variance_of_an_auc_is_delongs() -> None:
    """From the definition, pair by pair: S10/m + S01/n of the structural components, but for m/(m-1) and n/(n-1)."""
    labels, scores = draw("binary", 80, np.random.default_rng(1))
    x, y = scores[labels == 1, 0], scores[labels == 0, 0]
    wins = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    of_x, of_y = wins.mean(axis=1), wins.mean(axis=0)
    textbook = of_x.var() / len(x) + of_y.var() / len(y)
    _, added = influence("auc", "binary", labels, scores)
    assert (added**2).sum() == pytest.approx(textbook)


@pytest.mark.parametrize(("metric", "output"), METRICS)
def test_the_better_version_is_better_whichever_way_the_metric_counts(metric: str, output: OutputKind) -> None:
    labels, good = draw(output, 3000, np.random.default_rng(2))
    worse = good + np.random.default_rng(3).normal(scale=0.5, size=good.shape)
    if output not in OF_NUMBERS:
        worse = np.clip(worse, 0.01, 0.99)
    how = queries(output, 3000)
    better = difference(metric, output, (labels, good), (labels, worse), 0.95, how)
    back = difference(metric, output, (labels, worse), (labels, good), 0.95, how)
    assert better is not None and better.low is not None and back is not None and back.high is not None
    assert 0 < better.low < better.figure
    assert (back.figure, back.high) == pytest.approx((-better.figure, -better.low))
    assert HIGHER_IS_BETTER[metric] == (metric in ("auc", "accuracy", "ndcg"))


def test_the_same_scores_are_the_same_for_sure() -> None:
    labels, scores = draw("binary", 200, np.random.default_rng(4))
    same = difference("auc", "binary", (labels, scores), (labels, scores), 0.95)
    assert same is not None
    assert (same.figure, same.low, same.high) == (0, 0, 0)


def test_few_rows_have_no_interval_and_one_class_no_difference() -> None:
    labels, scores = draw("binary", 29, np.random.default_rng(5))
    other = scores[::-1]
    few = difference("log_loss", "binary", (labels, scores), (labels, other), 0.95)
    assert few is not None and few.low is None and few.high is None
    rare = np.zeros(500)
    rare[:9] = 1
    found = difference("auc", "binary", (rare, np.linspace(0, 1, 500).reshape(-1, 1)), (rare, np.ones((500, 1))), 0.95)
    assert found is not None and found.low is None
    assert (
        difference("auc", "binary", (np.ones(500), np.ones((500, 1))), (np.ones(500), np.ones((500, 1))), 0.9) is None
    )


@pytest.mark.parametrize(("metric", "output"), [("auc", "binary"), ("log_loss", "multiclass"), ("rmse", "regression")])
@pytest.mark.parametrize("together", [1, 20])
def test_equal_versions_seldom_look_better_even_where_rows_err_together(
    metric: str, output: OutputKind, together: int
) -> None:
    """Two versions that err alike: a lower end above zero is an error, at most about one in twenty. ``together`` rows
    in a row are hard for the same version, which an interval for independent rows would not survive."""
    rng, wrong, rounds = np.random.default_rng(6), 0, 400
    for _ in range(rounds):
        labels, scores = draw(output, 600, rng)
        first, second = (
            scores
            + np.repeat(rng.normal(scale=0.2, size=600 // together), together)[:, None]
            * [1.0, *[0.0] * 2][: scores.shape[1]]
            for _ in range(2)
        )
        if output != "regression":
            first, second = (np.clip(s, 0.001, 0.999) for s in (first, second))
        found = difference(metric, output, (labels, first), (labels, second), 0.95)
        assert found is not None and found.low is not None
        wrong += found.low > 0
    assert 0.02 < wrong / rounds < 0.08


def test_a_difference_of_rankings_is_as_sure_as_queries_are_many_and_not_rows() -> None:
    rng, few = np.random.default_rng(7), Ranked(np.arange(2900) // 100, 10)
    labels, scores = draw("ranking", 2900, rng)
    other = scores + rng.normal(scale=0.5, size=scores.shape)
    found = difference("ndcg", "ranking", (labels, scores), (labels, other), 0.95, few)
    assert found is not None and found.figure > 0 and found.low is None, "29 queries, of whatever many rows"


def test_equal_rankings_seldom_look_better_though_neighbouring_queries_err_together() -> None:
    """Of each four queries in a row one of two equal versions is the better, by a coin: a lower end above zero is an
    error."""
    rng, wrong, rounds, rows = np.random.default_rng(8), 0, 300, 600
    for _ in range(rounds):
        labels, scores = draw("ranking", rows, rng)
        coin = np.repeat(rng.integers(0, 2, rows // 20), 20)[:, None]
        first, second = (scores + 2 * worse * rng.normal(size=scores.shape) for worse in (coin, 1 - coin))
        found = difference("ndcg", "ranking", (labels, first), (labels, second), 0.95, queries("ranking", rows))
        assert found is not None and found.low is not None
        wrong += found.low > 0
    assert 0 < wrong < 0.09 * rounds
