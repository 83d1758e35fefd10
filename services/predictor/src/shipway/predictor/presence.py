"""Saying who this instance is and what it holds: at once when it changes, and as a heartbeat; goodbye at the stop."""

import asyncio
from collections.abc import Callable

from shipway.contract.errors import Transient
from shipway.contract.events import Presence
from shipway.contract.topics import PRESENCE
from shipway.runtime import log
from shipway.runtime.kafka import Producer
from shipway.runtime.waiting import happens

_log = log.get(__name__)


class Announcer:
    """Publishes the presence that ``describe`` gives."""

    def __init__(self, producer: Producer, instance: str, describe: Callable[[], Presence], beat_s: float) -> None:
        self._producer = producer
        self._instance = instance
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
                await self._producer.publish(f"shipway/predictor/{self._instance}", self._describe())
            except Transient as err:
                _log.warning("presence not announced", reason=str(err))
                await asyncio.sleep(0.2)
                continue
            await happens(self._changed, self._beat_s)

    async def goodbye(self) -> None:
        """Says that this instance is gone; gateways would notice anyway."""
        try:
            await self._producer.send(PRESENCE.name, self._instance.encode(), None, [])
        except Transient as err:
            _log.warning("goodbye not said", reason=str(err))
