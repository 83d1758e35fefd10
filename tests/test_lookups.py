"""Look-ups over services: a row that one version takes is taken by all that the evaluator calls compatible."""

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.errors import Permanent
from shipway.contract.lookups import Lookup
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Feature, Signature
from shipway.evaluator.compatibility import incompatibilities
from shipway.gateway.filling import Known, fill

NAMES = ["a", "b", "c", "k"]
FEATURES = st.builds(
    Feature,
    name=st.sampled_from(NAMES),
    type=st.sampled_from(["number", "category"]),
    categories=st.just(["1", "x"]),
    nullable=st.booleans(),
    optional=st.booleans(),
    unseen=st.sampled_from(["missing", "error"]),
)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    """As a model file may declare them: "null" is for what may be null, "refuse" for what may not be left out."""
    features = draw(st.lists(FEATURES, min_size=1, max_size=4, unique_by=lambda f: f.name))
    left = draw(st.lists(st.sampled_from(features), max_size=2, unique_by=lambda f: f.name))
    lookups = []
    for one in left:
        missing: Literal["refuse", "null"] = draw(st.sampled_from(["refuse", "null"]))
        key = draw(st.sampled_from([key for key in ("id", "k") if key not in {f.name for f in left}]))
        if one.nullable if missing == "null" else not one.optional:
            lookups.append(Lookup(table="t", key=key, features=[one.name], missing=missing))
    return Signature(features=features, output="regression", target="y", lookups=lookups)


VALUES = st.none() | st.sampled_from([1, 1.5, "x", "new"])
ROWS = st.dictionaries(st.sampled_from([*NAMES, "id"]), VALUES)
TABLE = st.dictionaries(st.sampled_from(["1", "x"]), st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1))


@given(old=signatures(), new=signatures(), row=ROWS, table=TABLE)
def test_who_leaves_features_to_look_ups_can_go_on(
    old: Signature, new: Signature, row: dict[str, Any], table: dict[str, dict[str, Any]]
) -> None:
    def encode(signature: Signature) -> list[list[float]]:
        encoder = RowEncoder(signature)

        def find(_table: str, key: str) -> Known | None:
            return Known(table[key], 0.0) if key in table else None

        return encoder.encode(fill(signature.lookups, encoder.names, [row], find, 0.0).rows)

    try:
        encode(old)
    except Permanent:
        return
    if not incompatibilities(old, new):
        encode(new)
