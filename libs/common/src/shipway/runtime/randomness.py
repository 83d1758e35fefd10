"""Random bytes of the system, fetched many at a time: for a few of them the call itself costs more than all the rest.

For names that must not collide, as spans and predictions have them; not for keys and tokens.
"""

import os
import threading

_AT_ONCE = 4096
_pool = b""
_at = 0
_lock = threading.Lock()


def random_bytes(count: int) -> bytes:
    """So many random bytes, none of them given out before."""
    global _pool, _at
    if count > _AT_ONCE // 4:
        return os.urandom(count)
    with _lock:
        end = _at + count
        if end > len(_pool):
            _pool, _at, end = os.urandom(_AT_ONCE), 0, count
        found = _pool[_at:end]
        _at = end
    return found
