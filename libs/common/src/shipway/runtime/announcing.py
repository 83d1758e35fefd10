"""Saying on a compacted topic who one is and what one has: when it changes, and as a heartbeat; in the end goodbye."""

import asyncio
from collections.abc import Callable

from shipway.contract.errors import Transient
from shipway.contract.events import Payload
from shipway.contract.topics import Topic
from shipway.runtime import log
from shipway.runtime.kafka import Producer
from shipway.runtime.waiting import happens

_log = log.get(__name__)


class Announcer:
    """Publishes what ``describe`` gives, under the key ``name``, which is nobody else's."""

    def __init__(
        self,
        producer: Producer,
        source: str,
        topic: Topic,
        name: str,
        describe: Callable[[], Payload],
        beat_s: float,
    ) -> None:
        self._producer = producer
        self._source = source
        self._topic = topic
        self._name = name
        self._describe = describe
        self._beat_s = beat_s
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Says that there is news."""
        self._changed.set()

    async def run(self) -> None:
        """Announces for ever; an outage is waited out."""
        while True:
            self._changed.clear()
            try:
                await self._producer.publish(self._source, self._describe())
            except Transient as err:
                _log.warning("presence not announced", reason=str(err))
                await asyncio.sleep(0.2)
                continue
            await happens(self._changed, self._beat_s)

    async def goodbye(self) -> None:
        """Says that this one is gone; others would notice anyway."""
        try:
            await self._producer.send(self._topic.name, self._name.encode(), None, [])
        except Transient as err:
            _log.warning("goodbye not said", reason=str(err))
