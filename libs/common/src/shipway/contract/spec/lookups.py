"""Sections [[lookups]]: features that the gateway looks up where a request does not give them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from shipway.contract.lookups import Lookup
from shipway.contract.spec.data import FeatureSpec
from shipway.contract.spec.values import NAME, Duration, Section


class LookupSpec(Section):
    """Features of one entity of a row, from a look-up table."""

    table: str = Field(description="the look-up table, as `shipway features put` names it")
    key: str = Field(
        min_length=1, max_length=200, description="the field of a request's row that names the entity, such as customer"
    )
    features: list[str] = Field(
        min_length=1, max_length=1000, description="features that are looked up; what a row gives itself is taken"
    )
    missing: Literal["refuse", "null"] = Field(
        default="refuse", description="an entity that is not in the table: the row is refused, or its features are null"
    )
    max_age: Duration | None = Field(
        default=None, description="an entity that was published longer ago counts as missing; default: none does"
    )

    @model_validator(mode="after")
    def _named_well(self) -> "LookupSpec":
        if not NAME.fullmatch(self.table):
            raise ValueError(f"table: {self.table[:100]!r} must be lower-case letters, digits and dashes, 63 at most")
        if not self.key.isprintable() or '"' in self.key:
            raise ValueError("key: must be printable, without quotes")
        return self

    @property
    def rule(self) -> Lookup:
        """The same as a version carries it."""
        age_s = self.max_age.total_seconds() if self.max_age is not None else None
        return Lookup(table=self.table, key=self.key, features=self.features, missing=self.missing, max_age_s=age_s)


def check_lookups(lookups: Sequence[LookupSpec], features: Mapping[str, FeatureSpec], taken: Sequence[str]) -> None:
    """Holds look-ups against a model's features; ``taken`` are columns that no request has.

    Raises:
        ValueError: names the field and the remedy.
    """
    found: set[str] = set()
    for at, one in enumerate(lookups):
        for name in one.features:
            if name not in features:
                raise ValueError(f"lookups.{at}.features: {name[:100]!r} is none of the features; declare it there")
            if name in found:
                raise ValueError(f"lookups.{at}.features: {name!r} is looked up twice; remove one of them")
            if one.missing == "null" and not features[name].nullable:
                raise ValueError(
                    f'lookups.{at}.missing: "null" does not go with {name!r}, which is not nullable;'
                    ' make it nullable, or say missing = "refuse"'
                )
            if one.missing == "refuse" and features[name].optional:
                raise ValueError(
                    f'lookups.{at}.missing: "refuse" does not go with {name!r}, which may be left out;'
                    ' say missing = "null", or remove optional'
                )
            found.add(name)
    for at, one in enumerate(lookups):
        if one.key in found:
            raise ValueError(f"lookups.{at}.key: {one.key!r} is looked up itself; name a field that requests give")
        if one.key in taken:
            raise ValueError(f"lookups.{at}.key: {one.key!r} is the target or the time column; name another field")
