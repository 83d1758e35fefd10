"""Random bytes of the system, fetched many at a time: for a few of them the call itself costs more than all the rest.

For names that must not collide, as spans and predictions have them; not for keys and tokens.
"""

import os

_AT_ONCE = 4096
_MOST = 32
_ready: list[list[bytes]] = [[] for _ in range(_MOST + 1)]
"""By their length, the pieces that are still to be given out; taking one is atomic, so no two threads get the same."""


def random_bytes(count: int) -> bytes:
    """So many random bytes, none of them given out before."""
    if not 0 < count <= _MOST:
        return os.urandom(count)
    try:
        return _ready[count].pop()
    except IndexError:
        many = os.urandom(_AT_ONCE)
        first, *rest = [many[at : at + count] for at in range(0, _AT_ONCE - count + 1, count)]
        _ready[count].extend(rest)
        return first
