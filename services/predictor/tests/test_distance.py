"""How far a shadow's scores lie from the champion's: 0 to 1, 0 for equal ones, the same both ways."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shipway.predictor.distance import distances

OUTPUTS = {"binary": 1, "multiclass": 3, "regression": 1, "ranking": 1}
anything = st.floats(width=64)


@given(st.data(), st.sampled_from(sorted(OUTPUTS)))
def test_it_is_bounded_symmetric_and_nought_for_equal_scores(data: Any, output: Any) -> None:
    shape = (4, OUTPUTS[output])
    ours, theirs = (data.draw(arrays(np.float64, shape, elements=anything)) for _ in range(2))
    found, other = distances(output, ours, theirs), distances(output, theirs, ours)
    same = distances(output, ours, ours.copy())
    assert ((found >= 0) & (found <= 1)).all()
    assert (found == other).all()
    assert (same[np.isfinite(ours).all(axis=1)] == 0).all()


@pytest.mark.parametrize(
    ("output", "ours", "theirs", "apart"),
    [
        ("binary", [[0.2]], [[0.7]], 0.5),
        ("multiclass", [[1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5]], 1.0),
        ("regression", [[30.0]], [[10.0]], 0.5),
        ("regression", [[0.0]], [[0.0]], 0.0),
        ("regression", [[-1.0]], [[1.0]], 1.0),
        ("ranking", [[-1.0]], [[1.0]], 0.0),
        ("binary", [[float("nan")]], [[0.1]], 1.0),
    ],
)
def test_what_it_is_of_each_kind(output: Any, ours: Any, theirs: Any, apart: float) -> None:
    assert distances(output, np.array(ours), np.array(theirs)) == pytest.approx([apart])


def test_rankings_are_compared_by_the_orders_of_a_requests_rows_and_by_nothing_else() -> None:
    ours = np.array([[1.0], [2.0], [3.0], [9.0], [8.0]])
    requests = np.array([1, 1, 1, 2, 2])
    assert distances("ranking", ours, 10 * ours - 50, requests).tolist() == [0.0] * 5
    assert distances("ranking", ours, -ours, requests).tolist() == [1.0] * 5
    swapped = np.array([[2.0], [1.0], [3.0], [9.0], [8.0]])
    assert distances("ranking", ours, swapped, requests).tolist() == [0.5, 0.5, 0.5, 0.0, 0.0]
    nobody = np.array([[1.0], [2.0], [float("nan")], [9.0], [8.0]])
    assert distances("ranking", ours, nobody, requests)[2] == 1.0
