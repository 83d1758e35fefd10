"""What names an entity, and what a row of a look-up table may hold."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.lookups import MAX_KEY, check_row, entity_key, row_key
from shipway.contract.rowencoding import InvalidRows, RowEncoder
from shipway.contract.signature import parse_signature

SIGNATURE = {
    "features": [{"name": "n", "type": "number"}, {"name": "age", "type": "number"}],
    "output": "regression",
    "target": "y",
}


@pytest.mark.parametrize(("value", "key"), [("7", "7"), (7, "7"), (7.0, "7"), ("007", "007"), ("a/b ç", "a/b ç")])
def test_a_value_names_an_entity(value: Any, key: str) -> None:
    assert entity_key(value) == key


@pytest.mark.parametrize("value", [None, True, 7.5, math.nan, math.inf, "", "a\nb", "x" * (MAX_KEY + 1), 2**64, []])
def test_what_can_name_none(value: Any) -> None:
    assert entity_key(value) is None


@given(st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True), st.text(min_size=1, max_size=20))
def test_no_two_rows_have_one_name(table: str, key: str) -> None:
    assert row_key(table, key).partition("/") == (table, "/", key)


@pytest.mark.parametrize(
    ("table", "key", "values", "problem"),
    [
        ("Customers", "7", {"a": 1}, "table: 'Customers' must be lower-case"),
        ("t", "a\tb", {"a": 1}, r"key: .* must be printable"),
        ("t", "7", {}, "values: has 0; 1 to 1000"),
        ("t", "7", {"a\n": 1}, "values: .* must be printable"),
        ("t", "7", {"a": "x" * 1001}, r"values\.a: must be text of 1000 characters at most"),
        ("t", "7", {"a": "x\x00"}, r"values\.a: .*without NUL"),
        ("t", "7", {"a": math.inf}, r"values\.a: must be a finite number"),
        ("t", "7", {"a": [1]}, r"values\.a: must be text, a number, true, false or null, not list"),
    ],
)
def test_a_row_that_tables_do_not_take_is_named(table: str, key: str, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidField, match=problem):
        check_row(table, key, values)


def test_a_row_of_anything_else_is_taken() -> None:
    check_row("customers", "a/7", {"a": None, "b": True, "c": 1.5, "d": 2**60, "e": "text"})


@pytest.mark.parametrize(
    ("lookups", "problem"),
    [
        ([{"table": "t", "key": "id", "features": ["income"]}], "must be of its features, each once"),
        ([{"table": "t", "key": "id", "features": ["age", "age"]}], "must be of its features, each once"),
        ([{"table": "t", "key": "age", "features": ["age"]}], "the key 'age' is looked up itself"),
        ([{"table": "t", "key": "id", "features": ["age"], "missing": "guess"}], "missing"),
    ],
)
def test_a_signature_that_looks_up_what_it_has_not_is_none(lookups: list[Any], problem: str) -> None:
    with pytest.raises(Permanent, match=problem):
        parse_signature(SIGNATURE | {"lookups": lookups})


def test_where_nothing_is_looked_up_a_key_is_refused_with_the_reason() -> None:
    """As predictors do, which have no tables."""
    encoder = RowEncoder(parse_signature(SIGNATURE | {"lookups": [{"table": "t", "key": "id", "features": ["age"]}]}))
    with pytest.raises(InvalidRows, match=r"rows\[0\]\.id: is what gateways look features up by; here, give the feat"):
        encoder.encode([{"n": 1, "age": 2, "id": 7}])
    with pytest.raises(InvalidRows, match="did you mean 'id'"):
        encoder.encode([{"n": 1, "age": 2, "idd": 7}])
