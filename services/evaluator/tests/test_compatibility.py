"""Signatures against each other: what clients of the champion send must go on being taken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.errors import Permanent
from shipway.contract.lookups import Lookup
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Feature, Signature
from shipway.evaluator.compatibility import incompatibilities


def signature(*features: Feature, **changes: Any) -> Signature:
    values: dict[str, Any] = {"output": "binary", "target": "y", "classes": ["no", "yes"]}
    return Signature(features=list(features), **(values | changes))


def number(name: str = "n", **changes: Any) -> Feature:
    return Feature(**({"name": name, "type": "number"} | changes))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (signature(number()), signature(number(), number("x")), "x: is a new required feature; make it optional"),
        (signature(number(), number("x")), signature(number()), "x: clients send it, but it is no feature any more"),
        (signature(number()), signature(number(type="category")), "n: was a number and is a category"),
        (signature(number()), signature(number(nullable=False)), "n: may not be null any more"),
        (signature(number(optional=True)), signature(number()), "n: may not be left out any more"),
        (signature(number()), signature(number(), output="regression", classes=[]), "target: the output was binary"),
        (signature(number()), signature(number(), target="z"), "target: was 'y' and is 'z'"),
        (signature(number()), signature(number(), classes=["no", "maybe"]), "target: the classes yes are gone"),
    ],
)
def test_what_breaks_clients_is_named(old: Signature, new: Signature, problem: str) -> None:
    (found,) = incompatibilities(old, new)
    assert found.startswith(problem)


def looking_up(missing: Any = "refuse", key: str = "id", table: str = "t", **changes: Any) -> Signature:
    """A signature whose feature x is looked up."""
    rule = Lookup(table=table, key=key, features=["x"], missing=missing)
    return signature(number(), number("x", **changes), lookups=[rule])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            looking_up(),
            signature(number(), number("x")),
            "x: clients leave it to a look-up by id, and it is not looked up any more",
        ),
        (looking_up(), looking_up(key="n"), "x: is looked up by n, and clients give id"),
        (looking_up("null"), looking_up(), "x: a row whose id is not known is refused now, and had nulls"),
        (signature(number()), looking_up(), "x: is a new required feature; make it optional"),
        (
            signature(number(), number("x", optional=True)),
            looking_up(),
            "x: may not be left out any more, where id is not known",
        ),
        (
            looking_up(optional=True),
            signature(number(), number("x", optional=True)),
            "id: clients send it, but nothing is looked up by it any more",
        ),
    ],
)
def test_what_breaks_clients_that_leave_features_to_look_ups_is_named(
    old: Signature, new: Signature, problem: str
) -> None:
    assert any(found.startswith(problem) for found in incompatibilities(old, new))


def test_look_ups_that_break_nobody_are_allowed() -> None:
    assert incompatibilities(signature(number()), looking_up("null")) == []
    assert incompatibilities(signature(number(), number("x")), looking_up()) == []
    assert incompatibilities(looking_up(), looking_up("null", table="other")) == []


def test_what_breaks_nobody_is_allowed() -> None:
    old = signature(number(nullable=False), number("c", type="category", categories=["a"]))
    wider = signature(
        number("c", type="category", categories=["b", "a"]), number(), number("x", optional=True), classes=["yes", "no"]
    )
    assert incompatibilities(old, wider) == []


FEATURES = st.builds(
    Feature,
    name=st.sampled_from(["a", "b", "c"]),
    type=st.sampled_from(["number", "category", "boolean"]),
    categories=st.sampled_from([[], ["x"], ["x", "y"]]),
    nullable=st.booleans(),
    optional=st.booleans(),
    unseen=st.sampled_from(["missing", "error"]),
)
SIGNATURES = st.lists(FEATURES, min_size=1, max_size=3, unique_by=lambda f: f.name).map(lambda fs: signature(*fs))
VALUES = st.sampled_from([None, 1.5, True, "x", "y", "new"])


@given(old=SIGNATURES, new=SIGNATURES, row=st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES))
def test_a_row_that_the_champion_takes_is_taken_by_a_compatible_version(
    old: Signature, new: Signature, row: dict[str, Any]
) -> None:
    try:
        RowEncoder(old).encode([row])
    except Permanent:
        return
    if not incompatibilities(old, new):
        RowEncoder(new).encode([row])
