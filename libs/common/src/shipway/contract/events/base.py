"""What all events share."""

from typing import ClassVar

import msgspec

Name = str
MAX_BYTES = 1_000_000
"""What brokers take of one message unless they are told otherwise, and a little less."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What all events share. ``model`` is the Kafka key, so one model's events stay in order."""

    type: ClassVar[str]
    max_bytes: ClassVar[int] = MAX_BYTES
    model: Name
