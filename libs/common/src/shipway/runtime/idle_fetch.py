"""A pause after an empty fetch, for brokers that answer at once instead of long-polling.

Without it an idle consumer on such a broker asks thousands of times a second. The pause grows while nothing comes, up
to MOST times what it is after a message, so that an idle stack costs little and a busy one waits little. A consumer
that is ``prompt`` pauses a QUICK part of that for a moment after a message: the steps of a release follow each other.
It wraps a private coroutine of aiokafka (pinned to 0.14.0); a test fails when the hook no longer bites.
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher

MOST = 5
PATIENCE = 25
"""So many empty fetches in a row make the pause longer by once itself."""
QUICK = 0.25
MOMENT = 30
"""So many empty fetches after a message a prompt consumer's pause is short."""
_pause_s = 0.0
_prompt: WeakSet[Any] = WeakSet()
_empty: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_original = Fetcher._proc_fetch_request


async def _paused(self: Any, assignment: Any, node_id: Any, request: Any) -> bool:
    woken = bool(await _original(self, assignment, node_id, request))
    if woken:
        _empty[self] = 0
    elif _pause_s:
        empty = _empty[self] = _empty.get(self, 0) + 1
        try:
            await asyncio.sleep(_pause_s * _longer(empty, self in _prompt))
        except asyncio.CancelledError:
            return False  # as the original does: the fetcher that closes awaits this
    return woken


def _longer(empty: int, prompt: bool) -> float:
    """How many times the pause is due after so many empty fetches in a row."""
    if prompt and empty <= MOMENT:
        return QUICK
    return min(MOST, 1 + empty // PATIENCE)


def prompt(consumer: AIOKafkaConsumer) -> None:
    """Makes a started consumer a prompt one."""
    _prompt.add(consumer._fetcher)


def set_pause(pause_ms: int) -> None:
    """Makes every consumer of this process pause so long after an empty fetch; 0 turns it off."""
    global _pause_s
    _pause_s = pause_ms / 1000
    Fetcher._proc_fetch_request = _paused if pause_ms else _original
