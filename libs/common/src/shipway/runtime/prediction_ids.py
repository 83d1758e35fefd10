"""Ids of predictions: UUIDs of version 7, which begin with the time (RFC 9562, 5.7).

So ids of one time lie close together in the prediction history, and a label finds its prediction by looking into few
files. Nobody may rely on more: ids of predictors asked directly, and of older gateways, are random.
"""

import time

from shipway.runtime.randomness import random_bytes

_VERSION = bytes(0x70 | byte & 0x0F for byte in range(256))
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))
_FIXED_BITS = 0x7 << 76 | 0x2 << 62
_RANDOM_BITS = (1 << 80) - 1 & ~(0xF << 76 | 0x3 << 62)


def new_ids(count: int) -> bytes:
    """So many new ids of 16 bytes each, joined. The cost hardly grows with their number."""
    if count == 1:  # as most requests have it, by the way that is quickest for one
        found = int.from_bytes(random_bytes(10), "big") & _RANDOM_BITS
        return (time.time_ns() // 1_000_000 << 80 | found | _FIXED_BITS).to_bytes(16, "big")
    made = bytearray(random_bytes(16 * count))
    for place, byte in enumerate((time.time_ns() // 1_000_000).to_bytes(6, "big")):
        made[place::16] = bytes((byte,)) * count
    made[6::16] = made[6::16].translate(_VERSION)
    made[8::16] = made[8::16].translate(_VARIANT)
    return bytes(made)


def as_text(joined: bytes) -> list[str]:
    """Joined ids as people see them: 32 hexadecimal digits each."""
    return joined.hex(" ", 16).split(" ") if joined else []
