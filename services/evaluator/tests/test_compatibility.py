"""Signatures against each other: what clients of the champion send must go on being taken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.errors import Permanent
from shipway.contract.signature import Feature, RowEncoder, Signature
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
