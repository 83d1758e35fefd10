"""A pause before a fetch of which nothing is known that it would bring, for brokers that answer at once.

Without it an idle consumer on a broker that does not long-poll asks thousands of times a second; and after each message
it would ask once more, in vain. The pause grows while nothing comes, up to MOST times what it is after a message, so
that an idle stack costs little and a busy one waits little. With a doorbell it is RUNG_S, and ends when somebody rings
for a topic of the consumer's. It wraps a private coroutine of aiokafka (pinned to 0.14.0); a test fails when the hook
no longer bites.
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
        self.empty = 0
        """So many fetches in a row have brought nothing."""
        self._rung = asyncio.Event()
        if _doorbell:
            doorbell.listen(_doorbell, topics - _not_awaited, self.ring)

    def ring(self) -> None:
        self._rung.set()

    def about_to_fetch(self) -> None:
        """What is rung for from here on, the answer may lack."""
        self._rung.clear()

    def fetched(self, something: bool) -> None:
        self.empty = 0 if something else self.empty + 1

    async def wait(self) -> None:
        await happens(self._rung, RUNG_S if _doorbell else _pause_s * _longer(self.empty))


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
    if pause.empty or _all_read(assignment, request):
        try:
            await pause.wait()
        except asyncio.CancelledError:
            return False  # as the original does: the fetcher that closes awaits this
    pause.about_to_fetch()
    woken = bool(await _original(self, assignment, node_id, request))
    pause.fetched(woken)
    return woken


def _all_read(assignment: Any, request: Any) -> bool:
    """Whether the fetches before have brought all that there was, of every partition."""
    asked = {(topic, place): offset for topic, places in request.topics for place, offset, _ in places}
    ends = {(place.topic, place.partition): assignment.state_value(place).highwater for place in assignment.tps}
    return asked.keys() == ends.keys() and all(end is not None and asked[at] >= end for at, end in ends.items())


def _longer(empty: int) -> int:
    """How many times the pause is due after so many empty fetches in a row."""
    return min(MOST, 1 + empty // PATIENCE)


def use(settings: KafkaSettings) -> None:
    """Makes every consumer of this process pause before a fetch as the settings say."""
    global _pause_s, _doorbell
    _pause_s, _doorbell = settings.idle_fetch_pause_ms / 1000, settings.doorbell
    Fetcher._proc_fetch_request = _paused if _pause_s else _original


def not_awaited(topics: Iterable[str]) -> None:
    """Has no consumer of this process woken for these topics: it finds them by its own looks."""
    global _not_awaited
    _not_awaited = frozenset(topics)
