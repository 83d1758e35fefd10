"""A pause after an empty fetch, for brokers that answer at once instead of long-polling.

Without it an idle consumer on such a broker asks thousands of times a second. It wraps a private coroutine
of aiokafka (pinned to 0.14.0); a test fails when the hook no longer bites.
"""

import asyncio
from typing import Any

from aiokafka.consumer.fetcher import Fetcher

_pause_s = 0.0
_original = Fetcher._proc_fetch_request


async def _paused(self: Any, assignment: Any, node_id: Any, request: Any) -> bool:
    woken = bool(await _original(self, assignment, node_id, request))
    if not woken and _pause_s:
        try:
            await asyncio.sleep(_pause_s)
        except asyncio.CancelledError:
            return False  # as the original does: the fetcher that closes awaits this
    return woken


def set_pause(pause_ms: int) -> None:
    """Makes every consumer of this process pause so long after an empty fetch; 0 turns it off."""
    global _pause_s
    _pause_s = pause_ms / 1000
    Fetcher._proc_fetch_request = _paused if pause_ms else _original
