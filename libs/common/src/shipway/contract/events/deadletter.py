"""What a service refused."""

from datetime import datetime
from typing import ClassVar

import msgspec

from shipway.contract.events.base import MAX_BYTES


class DeadLettered(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a consumer refused: where it came from, why, and the message itself, unchanged."""

    type: ClassVar[str] = "shipway.DeadLettered.v1"
    max_bytes: ClassVar[int] = MAX_BYTES
    service: str
    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
