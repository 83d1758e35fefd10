"""What is known of entities, for gateways to look up."""

from datetime import datetime
from typing import ClassVar

import msgspec

from shipway.contract.events.base import Name


class FeaturesPublished(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an entity from now on: a row of a look-up table. Key: ``table``/``key``; null forgets it.

    ``values`` are features by name, all that the row has: an earlier row's others are gone. ``at``: when they were so.
    """

    type: ClassVar[str] = "shipway.FeaturesPublished.v1"
    max_bytes: ClassVar[int] = 100_000
    table: Name
    key: str
    values: dict[str, str | int | float | bool | None]
    at: datetime
