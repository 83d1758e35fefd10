"""Rows as the client sends them: what is missing is null, and names are sent once where that is all the same."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from shipway.client.rowsbody import MANY, rows_body


def test_a_dataframe_names_its_columns_once_and_what_it_lacks_is_null() -> None:
    frame = pd.DataFrame(
        {
            "size": np.array([1.5, np.nan], np.float32),
            "rooms": pd.array([3, None], "Int64"),
            "town": pd.Categorical(["Ulm", None]),
            "name": ["a", None],
            "garden": [True, False],
            "year": np.array([2024, 2025]),
        },
        index=[7, 9],
    )
    body = rows_body(frame)
    assert json.loads(json.dumps(body, allow_nan=False)) == {
        "columns": ["size", "rooms", "town", "name", "garden", "year"],
        "data": [[1.5, 3, "Ulm", "a", True, 2024], [None, None, None, None, False, 2025]],
    }


def test_it_is_what_pandas_calls_split() -> None:
    frame = pd.DataFrame({"a": [1.5, None, 3.25], "b": ["x", "y", None]})
    assert json.loads(json.dumps(rows_body(frame))) == json.loads(frame.to_json(orient="split", index=False))


def test_many_rows_name_their_columns_once_and_few_do_not() -> None:
    rows = [{"a": i, "b": str(i)} for i in range(MANY)]
    assert rows_body(rows[1:]) == {"rows": rows[1:]}
    assert rows_body(rows) == {"columns": ["a", "b"], "data": [[i, str(i)] for i in range(MANY)]}
    assert rows_body([{"b": "x", "a": 1}, *rows])["data"][1] == ["0", 0], "in the order of the first"


@pytest.mark.parametrize("other", [{"a": 1}, {"a": 1, "c": 2}, {}])
def test_rows_that_have_other_names_are_sent_as_they_are(other: dict[str, Any]) -> None:
    rows: list[dict[str, Any]] = [{"a": i, "b": i} for i in range(MANY)] + [other]
    assert rows_body(rows) == {"rows": rows}
