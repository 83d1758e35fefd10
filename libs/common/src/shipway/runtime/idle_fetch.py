"""A pause after an empty fetch, for brokers that answer at once instead of long-polling.

Without it an idle consumer on such a broker asks thousands of times a second. The pause grows while nothing comes, up
to MOST times what it is after a message, so that an idle stack costs little and a busy one waits little. With a
doorbell it is RUNG_S, and ends when somebody rings for a topic of the consumer's. It wraps a private coroutine of
aiokafka (pinned to 0.14.0); a test fails when the hook no longer bites.
"""

import asyncio
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka.consumer.fetcher import Fetcher

from shipway.runtime import doorbell
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.waiting import happens

MOST = 5
PATIENCE = 25
"""So many empty fetches in a row make the pause longer by once itself."""
RUNG_S = 0.25
"""The pause with a doorbell: so late is found what somebody published who does not ring."""


class _Pause:
    """The pauses of one consumer."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self._empty = 0
        self._rung = asyncio.Event()
        if _doorbell:
            doorbell.listen(_doorbell, topics - _not_awaited, self.ring)

    def ring(self) -> None:
        self._rung.set()

    def about_to_fetch(self) -> None:
        """What is rung for from here on, the answer may lack."""
        self._rung.clear()

    def woken(self) -> None:
        self._empty = 0

    async def wait(self) -> None:
        self._empty += 1
        await happens(self._rung, RUNG_S if _doorbell else _pause_s * _longer(self._empty))


_pause_s = 0.0
_doorbell = ""
_not_awaited: frozenset[str] = frozenset()
_pauses: WeakKeyDictionary[Any, _Pause] = WeakKeyDictionary()
_original = Fetcher._proc_fetch_request


async def _paused(self: Any, assignment: Any, node_id: Any, request: Any) -> bool:
    topics = frozenset(place.topic for place in assignment.tps)
    pause = _pauses.get(self)
    if pause is None or pause.topics != topics:
        pause = _pauses[self] = _Pause(topics)
    pause.about_to_fetch()
    woken = bool(await _original(self, assignment, node_id, request))
    if woken:
        pause.woken()
    else:
        try:
            await pause.wait()
        except asyncio.CancelledError:
            return False  # as the original does: the fetcher that closes awaits this
    return woken


def _longer(empty: int) -> int:
    """How many times the pause is due after so many empty fetches in a row."""
    return min(MOST, 1 + empty // PATIENCE)


def use(settings: KafkaSettings) -> None:
    """Makes every consumer of this process pause after an empty fetch as the settings say."""
    global _pause_s, _doorbell
    _pause_s, _doorbell = settings.idle_fetch_pause_ms / 1000, settings.doorbell
    Fetcher._proc_fetch_request = _paused if _pause_s else _original


def not_awaited(topics: Iterable[str]) -> None:
    """Has no consumer of this process woken for these topics: it finds them by its own looks."""
    global _not_awaited
    _not_awaited = frozenset(topics)
