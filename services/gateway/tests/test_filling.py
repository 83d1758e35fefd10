"""The rule of look-ups: what a row gives is taken, what it lacks is looked up, and what can't be is refused or null."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.errors import InvalidField
from shipway.contract.lookups import Lookup
from shipway.contract.rowencoding import InvalidRows
from shipway.gateway.filling import Known, explained, fill

DAY = 86400.0
NOW = 100 * DAY
FEATURES = {"age", "tenure", "stars", "amount"}
CUSTOMERS = Lookup(table="customers", key="customer", features=["age", "tenure"])
SHOPS = Lookup(table="shops", key="shop", features=["stars"], missing="null", max_age_s=2 * DAY)
TABLES = {
    "customers": {"7": Known({"age": 41, "tenure": None, "other": 1}, NOW - 30 * DAY), "8": Known({"age": 20}, NOW)},
    "shops": {"ulm": Known({"stars": 4}, NOW - DAY), "old": Known({"stars": 1}, NOW - 3 * DAY)},
}


def find(table: str, key: str) -> Known | None:
    return TABLES[table].get(key)


def filled(*rows: Any) -> Any:
    return fill([CUSTOMERS, SHOPS], FEATURES, rows, find, NOW)


def test_what_a_row_lacks_is_looked_up_and_counted() -> None:
    found = filled({"amount": 3, "customer": 7, "shop": "ulm"}, {"customer": "7", "stars": 2})
    assert found.rows == [
        {"amount": 3, "age": 41, "tenure": None, "stars": 4},
        {"age": 41, "tenure": None, "stars": 2},
    ]
    assert found.found == {"customers": 2, "shops": 1}


def test_what_a_row_gives_is_taken_also_a_null_and_then_nobody_is_looked_up() -> None:
    found = filled({"age": None, "tenure": 5, "stars": 3}, {"age": 1, "customer": 7, "stars": 3})
    assert found.rows == [{"age": None, "tenure": 5, "stars": 3}, {"age": 1, "tenure": None, "stars": 3}]
    assert found.found == {"customers": 1, "shops": 0}


@pytest.mark.parametrize("shop", [None, "nobody", "old", 1.5, True, ["ulm"], "x" * 500])
def test_who_is_not_known_or_was_published_too_long_ago_has_nulls_where_the_version_says_so(shop: Any) -> None:
    assert filled({"customer": 7, "shop": shop}).rows == [{"age": 41, "tenure": None, "stars": None}]
    assert filled({"customer": 7}).rows[0]["stars"] is None


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({}, "is missing; send what customers is looked up by; or send age, tenure"),
        ({"customer": None, "age": 1}, "is missing; send what customers is looked up by; or send tenure"),
        ({"customer": 9}, r"'9' is not in customers; publish it \(shipway features put customers\); or send age"),
        ({"customer": {}}, "must be text or a whole number"),
        ({"customer": 8}, "has no tenure in customers; or send tenure"),
    ],
)
def test_who_is_not_known_is_refused_where_the_version_says_so(row: Any, problem: str) -> None:
    with pytest.raises(InvalidRows, match=rf"^rows\[1\]\.customer: {problem}"):
        filled({"customer": 7}, row)


def test_the_age_that_is_too_much_is_told() -> None:
    rule = Lookup(table="shops", key="shop", features=["stars"], max_age_s=2 * DAY)
    with pytest.raises(InvalidRows, match="'old' of shops is 3 days old, 2 are allowed"):
        fill([rule], FEATURES, [{"shop": "old"}], find, NOW)


def test_a_key_that_is_a_feature_stays_and_what_nobody_knows_is_left_to_the_encoder() -> None:
    found = fill([CUSTOMERS], FEATURES | {"customer"}, [{"customer": 7, "colour": 1}, "row"], find, NOW)
    assert found.rows == [{"customer": 7, "colour": 1, "age": 41, "tenure": None}, "row"]


def test_a_value_that_does_not_fit_is_told_with_its_table() -> None:
    found = filled({"customer": 7, "stars": "many"})
    told = explained(
        InvalidRows([InvalidField("rows[0].age", "must be text"), InvalidField("rows[0].stars", "must be a number")]),
        found,
    )
    assert [str(p) for p in told.problems] == [
        "rows[0].age: must be text (looked up in customers)",
        "rows[0].stars: must be a number",
    ]


NAMES = ["a", "b", "c"]
RULES = st.lists(
    st.builds(
        Lookup,
        table=st.sampled_from(["s", "t"]),
        key=st.sampled_from(["k", "l", "d"]),
        features=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
        missing=st.sampled_from(["refuse", "null"]),
        max_age_s=st.sampled_from([None, 10.0]),
    ),
    max_size=3,
).filter(lambda rules: len(names := [n for rule in rules for n in rule.features]) == len(set(names)))
VALUES = st.none() | st.integers(0, 3) | st.sampled_from(["0", "1", "x"])
ROWS = st.dictionaries(st.sampled_from([*NAMES, "d", "k", "l"]), VALUES)
WORLD = st.dictionaries(
    st.tuples(st.sampled_from(["s", "t"]), st.sampled_from(["0", "1"])),
    st.builds(
        Known,
        st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1),
        st.sampled_from([0.0, 95.0]),
    ),
)


@given(rules=RULES, rows=st.lists(ROWS, max_size=3), world=WORLD)
def test_each_value_is_the_rows_own_or_the_tables_or_null_by_rule(
    rules: list[Lookup], rows: list[dict[str, Any]], world: dict[tuple[str, str], Known]
) -> None:
    features = {*NAMES, "d"}

    def told(rule: Lookup, row: dict[str, Any]) -> dict[str, Any]:
        known = world.get((rule.table, str(row.get(rule.key))))
        fresh = known is not None and (rule.max_age_s is None or 100 - known.at <= rule.max_age_s)
        return dict(known.values) if known is not None and fresh else {}

    refused = any(
        rule.missing == "refuse" and any(n not in row and n not in told(rule, row) for n in rule.features)
        for row in rows
        for rule in rules
    )
    try:
        found = fill(rules, features, rows, lambda table, key: world.get((table, key)), 100.0)
    except InvalidRows:
        assert refused
        return
    assert not refused
    for row, made in zip(rows, found.rows, strict=True):
        looked_up = {name: told(rule, row).get(name) for rule in rules for name in rule.features}
        keys = {rule.key for rule in rules} - features
        assert made == looked_up | {name: value for name, value in row.items() if name not in keys}
