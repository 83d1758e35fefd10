"""Rows whose columns are named once are read as the same rows with their names, or left to be read so."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.errors import InvalidField
from shipway.contract.predictrequest import PlainRequests
from shipway.contract.rowencoding import InvalidRows, RowEncoder
from shipway.contract.rows import as_bytes
from shipway.contract.signature import Feature, Signature
from shipway.contract.splitrows import named_rows

FEATURES = [
    Feature(name="size in m", type="number"),
    Feature(name="colour", type="category", categories=["red", "naïve ☃"], unseen="error"),
    Feature(name="town", type="category", categories=["Ulm", "Bonn"]),
    Feature(name="flag", type="boolean", optional=True),
    Feature(name="age", type="number", nullable=False),
]


def signature(*features: Feature) -> Signature:
    return Signature(features=list(features), output="regression", target="price")


MIXED = signature(*FEATURES)
NUMBERS = signature(*(f for f in FEATURES if f.type == "number"), Feature(name="gone", type="number", optional=True))
NAMES = [f.name for f in FEATURES]

numbers = st.one_of(st.floats(-1e9, 1e9), st.integers(-(10**9), 10**9))
usual: dict[str, st.SearchStrategy[Any]] = {
    "size in m": st.one_of(numbers, st.none()),
    "colour": st.sampled_from(["red", "naïve ☃", None]),
    "town": st.sampled_from(["Ulm", "Bonn", "nowhere", None]),
    "flag": st.sampled_from([True, False, None]),
    "age": numbers,
    "gone": st.one_of(numbers, st.none()),
}
odd = st.one_of(st.none(), st.text(max_size=3), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False))


@st.composite
def requests(draw: st.DrawFn, names: list[str], spoilt: bool) -> dict[str, Any]:
    """Columns in any order, of many rows or few; spoilt in a few values, and in the columns, where that is wanted."""
    columns = draw(st.permutations(names))
    if draw(st.booleans()):
        columns = [name for name in columns if name not in ("flag", "gone")]
    if spoilt and draw(st.booleans()):
        columns = draw(st.lists(st.sampled_from([*names, "other"]), max_size=6))
    row = st.tuples(*(usual.get(name, odd) for name in columns)).map(list)
    data = draw(st.lists(row, min_size=1, max_size=5)) * draw(st.sampled_from([1, 200]))
    if spoilt and columns:
        at, place = draw(st.integers(0, len(data) - 1)), draw(st.integers(0, len(columns) - 1))
        data[at] = [draw(odd) if i == place else value for i, value in enumerate(data[at])]
        data[at] = draw(st.sampled_from([data[at], data[at], data[at][1:], [*data[at], 1]]))
    return {"columns": columns, "data": data}


def slowly(of: Signature, asked: dict[str, Any]) -> bytes | None:
    try:
        return as_bytes(RowEncoder(of).encode(named_rows(asked["columns"], asked["data"])))
    except (InvalidRows, InvalidField):
        return None


def quickly(plain: PlainRequests, asked: dict[str, Any]) -> bytes | None:
    request = plain.read(json.dumps(asked).encode())
    return None if request is None else plain.numbers(request.data or [], request.columns)


@pytest.mark.parametrize("of", [MIXED, NUMBERS], ids=["mixed", "numbers"])
@given(data=st.data())
def test_rows_in_which_nothing_is_unusual_are_read_at_once(of: Signature, data: st.DataObject) -> None:
    plain = PlainRequests(of)
    for _ in range(3):  # one client after another, each with its order
        asked = data.draw(requests([f.name for f in of.features], spoilt=False))
        found, wanted = quickly(plain, asked), slowly(of, asked)
        assert wanted is not None
        assert found == wanted or (found is None and len(json.dumps(asked)) < 8000)


@pytest.mark.parametrize("of", [MIXED, NUMBERS], ids=["mixed", "numbers"])
@given(data=st.data())
def test_what_is_read_at_once_is_what_is_read_row_by_row(of: Signature, data: st.DataObject) -> None:
    asked = data.draw(requests([f.name for f in of.features], spoilt=True))
    found = quickly(PlainRequests(of), asked)
    assert found is None or found == slowly(of, asked)


def test_orders_of_columns_do_not_add_up() -> None:
    plain = PlainRequests(signature(*(Feature(name=f"f{i}", type="number") for i in range(12))))
    for turn in range(12):
        names = [f"f{(i + turn) % 12}" for i in range(12)]
        rows = [[(i + turn) % 12 + n / 8 for i in range(12)] for n in range(200)]
        found = quickly(plain, {"columns": names, "data": rows})
        assert found == as_bytes([[i + n / 8 for i in range(12)] for n in range(200)])
    assert len(plain._split._orders) == 8


@pytest.mark.parametrize("body", [b"", b"[", b"{", b'{"columns": 1}', b'{"columns": ["a"]}', b"\xff", b"[" * 100_000])
def test_what_is_no_request_of_this_form_is_left_to_others(body: bytes) -> None:
    assert PlainRequests(MIXED).read(body) is None


def test_what_does_not_fit_is_named() -> None:
    assert named_rows(["a", "b"], [[1, None]]) == [{"a": 1, "b": None}]
    for columns, data, field in ((["a", "a"], [[1, 2]], "columns"), (["a"], [[1], [1, 2]], "data[1]")):
        with pytest.raises(InvalidField) as caught:
            named_rows(columns, data)
        assert caught.value.field == field
