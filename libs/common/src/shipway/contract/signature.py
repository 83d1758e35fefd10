"""A version's signature: its features in order, and what its output means; rows are encoded by it alone.

Categories travel with the version, because codes made again from the data of the day are other codes
(LightGBM issue 5244).
"""

from typing import Any, Literal

import msgspec

from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.lookups import Lookup

Scalar = str | int | float | bool | None
FeatureType = Literal["number", "category", "boolean"]
OutputKind = Literal["binary", "multiclass", "regression", "ranking"]
OF_NUMBERS = frozenset({"regression", "ranking"})
"""The kinds of output that are a number, and not one of several classes."""
MAX_CATEGORIES = 100_000
# As JSON. Every gateway keeps it for each version that is held, and the desired state has them all in one message.
MAX_SIGNATURE_BYTES = 400_000


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the model's input.

    ``categories`` are the known values of a category, in the order of their codes. ``nullable`` allows null
    (a missing value); ``optional`` allows the field to be left out, which means null. ``unseen`` says what a
    value outside ``categories`` is: a missing value, or an error.
    """

    name: str
    type: FeatureType
    categories: list[str] = []
    nullable: bool = True
    optional: bool = False
    unseen: Literal["missing", "error"] = "missing"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The features in the order of the model's columns, and the output.

    ``classes`` are the names of the classes in the order of the model's outputs; empty for a regression and a ranking.
    ``lookups`` are the features that a gateway looks up where a request does not give them.
    """

    features: list[Feature]
    output: OutputKind
    target: str
    classes: list[str] = []
    lookups: list[Lookup] = []

    @property
    def outputs_per_row(self) -> int:
        """How many numbers the model gives for a row."""
        return len(self.classes) if self.output == "multiclass" else 1


def parse_signature(raw: Any) -> Signature:
    """The signature from JSON-like data.

    Raises:
        Permanent: the data is not a consistent signature.
    """
    try:
        signature = msgspec.convert(raw, Signature)
    except msgspec.ValidationError as err:
        raise Permanent(f"signature: {err}") from err
    names = [f.name for f in signature.features]
    if not names or len(set(names)) != len(names):
        raise InvalidField("signature.features", "needs one feature or more, each name once")
    for f in signature.features:
        if len(f.categories) > MAX_CATEGORIES or len(set(f.categories)) != len(f.categories):
            raise InvalidField(f"signature.features.{f.name}.categories", "at most 100,000, each once")
    looked_up = [name for one in signature.lookups for name in one.features]
    if len(set(looked_up)) != len(looked_up) or not set(looked_up) <= set(names):
        raise InvalidField("signature.lookups", "must be of its features, each once")
    if stray := [one.key for one in signature.lookups if one.key in looked_up]:
        raise InvalidField("signature.lookups", f"the key {stray[0][:100]!r} is looked up itself")
    wanted = {"binary": 2, "regression": 0, "ranking": 0}.get(signature.output)
    if (wanted is not None and len(signature.classes) != wanted) or (wanted is None and len(signature.classes) < 2):
        raise InvalidField("signature.classes", f"{len(signature.classes)} do not fit {signature.output} output")
    return signature


def encode_signature(signature: Signature) -> bytes:
    """The signature as JSON, as a bundle keeps it.

    Raises:
        InvalidField: it is too large for a version to be served, and which feature makes it so.
    """
    encoded = msgspec.json.encode(signature)
    if len(encoded) > MAX_SIGNATURE_BYTES:
        largest = max(signature.features, key=lambda f: len(msgspec.json.encode(f)))
        problem = f"the signature has {len(encoded):,} bytes, and {MAX_SIGNATURE_BYTES:,} are allowed"
        remedy = "keep the frequent ones as categories and call the others one name"
        if largest.categories:
            raise InvalidField(
                f"features.{largest.name}", f"with its {len(largest.categories):,} categories {problem}; {remedy}"
            )
        raise InvalidField("features", f"{problem}; use fewer, or shorter names")
    return encoded


def to_builtins(signature: Signature) -> dict[str, Any]:
    """The signature as JSON-like data; the inverse of parse_signature."""
    built: dict[str, Any] = msgspec.to_builtins(signature)
    return built
