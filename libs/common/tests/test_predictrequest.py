"""Requests are read the same, whether the parser knows the version's features or not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.predictrequest import PlainRequests
from shipway.contract.rowencoding import InvalidRows, RowEncoder
from shipway.contract.rows import as_bytes
from shipway.contract.signature import Feature, Signature

SIGNATURE = Signature(
    features=[
        Feature(name="size in m", type="number"),
        Feature(name="colour", type="category", categories=["red", "naïve ☃"], unseen="error"),
        Feature(name="flag", type="boolean", optional=True),
        Feature(name="age", type="number", nullable=False),
    ],
    output="regression",
    target="price",
)
PLAIN, ENCODER = PlainRequests(SIGNATURE), RowEncoder(SIGNATURE)
ROW = {"size in m": 1.5, "colour": "red", "flag": True, "age": 7}

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70), st.sampled_from([2**53, 2**53 + 1])
)
anything: st.SearchStrategy[object] = st.one_of(numbers, st.none(), st.booleans(), st.text(max_size=3), st.just([]))
names = st.sampled_from([*ROW, "other"])
changed = st.builds(lambda row, change: row | change, st.just(ROW), st.dictionaries(names, anything, max_size=2))
left_out = st.builds(lambda row, gone: {k: v for k, v in row.items() if k != gone}, changed, names)
usual = st.fixed_dictionaries(
    {
        "size in m": st.floats(-1e9, 1e9),
        "colour": st.sampled_from(["red", "naïve ☃"]),
        "flag": st.booleans(),
        "age": st.integers(-(10**9), 10**9),
    }
)


def slowly(rows: list[Any]) -> bytes | None:
    try:
        return as_bytes(ENCODER.encode(rows))
    except InvalidRows:
        return None


@given(st.lists(st.one_of(usual, changed, left_out), min_size=1, max_size=12))
def test_what_the_parser_reads_is_what_is_read_row_by_row(rows: list[dict[str, Any]]) -> None:
    request = PLAIN.read(json.dumps({"rows": rows}).encode())
    found = PLAIN.numbers(request.rows or []) if request is not None else None
    assert found is None or found == slowly(rows)


@given(st.lists(usual, min_size=1, max_size=12))
def test_usual_rows_are_read_by_the_parser(rows: list[dict[str, Any]]) -> None:
    request = PLAIN.read(json.dumps({"rows": rows, "client_ids": ["a"] * len(rows), "explain": True}).encode())
    assert request is not None and request.explain and request.client_ids == ["a"] * len(rows)
    assert PLAIN.numbers(request.rows or []) == slowly(rows)
    (alone,) = [PLAIN.read(json.dumps({"row": rows[0]}).encode())]
    assert alone is not None and PLAIN.numbers([alone.row]) == slowly(rows[:1])


@pytest.mark.parametrize("body", [b"", b"[", b"{", b'{"rows": 1}', b'{"row": {}, "x": 1}', b"\xff", b"[" * 100_000])
def test_what_is_no_plain_request_is_left_to_others(body: bytes) -> None:
    assert PLAIN.read(body) is None


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_names_that_a_parser_cannot_be_told_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must not contain"):
        PlainRequests(Signature(features=[Feature(name=name, type="number")], output="regression", target="y"))
