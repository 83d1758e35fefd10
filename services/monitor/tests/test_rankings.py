"""Quality of rankings by labels: the evaluator's NDCG, queries that count whole or not at all, in whatever order."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.bundle.metrics import score_metrics
from shipway.bundle.ranking import Ranked
from shipway.contract.signature import Feature, Signature
from shipway.monitor.quality import Quality, figures, mean_loss
from shipway.monitor.rankings import Query, Row, judge, name_of, relevance
from shipway.monitor.searching import within

T0 = datetime(2026, 1, 1, tzinfo=UTC)
RANKING = Signature(features=[Feature(name="n", type="number")], output="ranking", target="y")
AT = 3
ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-1.0, 0.0, 0.5, 2.0])), min_size=1, max_size=6)


def row(label: Any, score: float, came_s: float = 60.0) -> Row:
    return Row(score, label, T0, T0 + timedelta(seconds=came_s))


def whole(rows: list[tuple[Any, float]]) -> Query:
    return Query(len(rows), {str(n): row(*one) for n, one in enumerate(rows)})


@given(st.lists(ROWS, min_size=1, max_size=8))
def test_the_figure_is_the_evaluators(queries: list[list[tuple[int, float]]]) -> None:
    sums = Quality()
    for standing in judge([whole(rows) for rows in queries], AT):
        assert standing is not None and standing.state != "partial"
        standing.count(sums, 1)
    numbers = np.repeat(np.arange(len(queries)), [len(rows) for rows in queries])
    labels, scores = (np.array(part, float) for part in zip(*(one for rows in queries for one in rows), strict=True))
    wanted = score_metrics(RANKING, labels, scores[:, None], Ranked(numbers, AT))["ndcg"]
    assert sums.labelled == sum(len({label for label, _ in rows}) > 1 for rows in queries), "a query counts once"
    assert sums.rows == len(labels)
    assert figures(sums, "ranking") == ({} if np.isnan(wanted) else {"ndcg": pytest.approx(wanted)})


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    arrivals=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), max_size=25),
)
@settings(deadline=None)
def test_sums_hold_the_queries_whose_rows_all_have_a_label_whatever_came_and_changed(
    sizes: list[int], arrivals: list[tuple[int, int, int]]
) -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(3, 4))
    now = [Query(size) for size in sizes]
    sums = Quality()
    for n, (query, place, label) in enumerate(arrivals):
        if query < len(sizes) and place < sizes[query]:
            before = now[query]
            came_s = (
                before.labelled[str(place)].came_at if str(place) in before.labelled else T0 + n * timedelta(hours=1)
            )
            fresh = Row(float(scores[query, place]), float(label), T0, came_s)
            now[query] = Query(before.rows, {**before.labelled, str(place): fresh})
            for one, times in zip((before, now[query]), (-1, 1), strict=True):
                for standing in judge([one], AT):
                    if standing is not None:
                        standing.count(sums, times)
    anew = Quality()
    for standing, query_now in zip(judge(now, AT), now, strict=True):
        if standing is not None:
            assert (standing.state == "partial") == (len(query_now.labelled) < query_now.rows)
            standing.count(anew, 1)
    assert (sums.labelled, sums.delays) == (anew.labelled, anew.delays)
    assert (sums.loss_sum, sums.loss_square_sum) == pytest.approx((anew.loss_sum, anew.loss_square_sum), abs=1e-9)


def test_a_query_waits_for_its_last_label_and_is_as_old_as_that() -> None:
    labelled = {"a": row(2.0, 0.1, 60), "b": row(True, 0.9, 90_000)}
    half, full, odd = Query(3, labelled), Query(2, labelled), Query(2, labelled | {"b": row("no", 0.9)})
    states = [one.state if one is not None else None for one in judge([half, full, odd, Query(2)], AT)]
    assert states == ["partial", "judged", "partial", None]
    [standing] = judge([full], AT)
    assert standing is not None and standing.delay == timedelta(seconds=90_000)
    assert standing.loss == pytest.approx(1 - (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))


def test_the_interval_is_by_queries_and_not_by_their_rows() -> None:
    labels = [float(n % 3) for n in range(20)]
    [alike] = judge([whole([(label, 0.0) for label in labels])], AT)
    assert alike is not None and alike.loss is not None
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        asked = [whole(list(zip(labels, rng.normal(size=20).tolist(), strict=True))) for _ in range(60)]
        sums = Quality()
        for standing in judge(asked, AT):
            assert standing is not None
            standing.count(sums, 1)
        found = mean_loss(sums)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= alike.loss <= found.high  # equal scores are worth what a random order is on average
    assert 0.9 <= held / 200 <= 0.99
    few = Quality(29, 10.0, 5.0)
    few.ripen(2900, timedelta(0))
    estimate = mean_loss(few)
    assert estimate is not None and estimate.low is None, "of 29 queries there is none, however many rows they have"


@pytest.mark.parametrize(
    ("label", "wanted"),
    [(True, 1.0), (False, 0.0), (3.0, 3.0), (30, 30.0), (31.0, None), (-1.0, None), (0.5, None), ("1", None)],
)
def test_a_relevance_is_what_a_training_takes_for_one(label: Any, wanted: float | None) -> None:
    assert relevance(label) == wanted
    assert relevance(float("nan")) is None and relevance(float("inf")) is None


def test_the_same_query_asked_for_again_or_of_another_version_is_another() -> None:
    names = {
        name_of(1, "a", "q"),
        name_of(2, "a", "q"),
        name_of(1, "b", "q"),
        name_of(1, None, "q"),
        name_of(1, "a", "r"),
    }
    assert len(names) == 5


@given(
    ids=st.lists(st.text("0123", min_size=4, max_size=4), unique=True).map(sorted),
    ends=st.tuples(st.text("0123", min_size=4, max_size=4), st.text("0123", min_size=4, max_size=4)).map(sorted),
)
def test_a_file_is_looked_into_for_the_ids_of_its_time(ids: list[str], ends: list[str]) -> None:
    first, last = ends
    assert within(ids, first, last) == [one for one in ids if first <= one <= last]
    assert within(ids, first, last, 2) == [one for one in ids if first[:2] <= one[:2] <= last[:2]]
    assert within(ids, None, None, 2) == ids
