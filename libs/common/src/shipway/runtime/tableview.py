"""A compacted topic, read whole into memory and followed: the last value of every key.

It keeps what it knows through an outage (static stability). A topic that is silent for longer than its
writers' slow beat is read again from the start by a new consumer: clients can get stuck, and a broker that
lost its data starts anew at offset 0.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from shipway.contract.envelope import Envelope, decode
from shipway.contract.errors import Permanent
from shipway.contract.events import Payload
from shipway.contract.topics import Topic
from shipway.contract.versions import NewerType
from shipway.runtime import idle_fetch, log, metrics
from shipway.runtime.kafka import client_arguments, partitions_of, stop_bounded
from shipway.runtime.newer import PassedOver
from shipway.runtime.settings import KafkaSettings

_log = log.get(__name__)
P = TypeVar("P", bound=Payload)


class TableView(Generic[P]):
    """The values of a compacted topic by key, with the envelope that each came in.

    ``accept`` may refuse a value (a stale generation, a wrong key); ``on_change`` is called after every
    accepted change, with the key. ``caught_up`` is set once the whole topic was read the first time.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: Topic,
        payload_type: type[P],
        *,
        accept: Callable[[str, P, P | None], bool] = lambda _key, _new, _old: True,
        on_change: Callable[[str], None] = lambda _key: None,
        silence_s: float = 30.0,
    ) -> None:
        idle_fetch.set_pause(settings.idle_fetch_pause_ms)
        self._settings = settings
        self._topic = topic
        self._type = payload_type
        self._accept = accept
        self._on_change = on_change
        self._silence_s = silence_s
        self._passed_over = PassedOver()
        self.values: dict[str, P] = {}
        self.envelopes: dict[str, Envelope] = {}
        self.caught_up = asyncio.Event()
        self.problem: str | None = "not read yet"

    async def run(self) -> None:
        """Follows the topic for ever; an outage is waited out."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError) as err:
                self.problem = f"{self._topic.name}: {err or type(err).__name__}"
                _log.warning("table not followed", topic=self._topic.name, reason=str(err) or type(err).__name__)
                await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            **client_arguments(self._settings), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        try:
            async with asyncio.timeout(10):
                await consumer.start()
            idle_fetch.prompt(consumer)
            places = await partitions_of(self._settings, [self._topic])
            if not places:
                raise UnknownTopicOrPartitionError(self._topic.name)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            clock = asyncio.get_running_loop().time
            heard = clock()
            while clock() - heard < self._silence_s:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    heard = clock()
                    for record in batch:
                        self._take(record.key, record.value, list(record.headers), record.timestamp)
                if self.problem and [p for p in places if await consumer.position(p) < ends[p]] == []:
                    self.problem = None
                    self.caught_up.set()
        finally:
            await stop_bounded(consumer.stop(), 2)

    def _take(
        self,
        raw_key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        written_ms: int | None = None,
    ) -> None:
        key = (raw_key or b"").decode("utf-8", "backslashreplace")
        outcome = "taken"
        if value is None:
            if self.values.pop(key, None) is not None:
                self.envelopes.pop(key, None)
                self._on_change(key)
        else:
            try:
                self._put(key, decode(value, headers, written_ms))
            except NewerType as newer:
                outcome = "passed over"
                self._passed_over.note(self._topic.name, newer)
            except Permanent as err:
                outcome = "refused"
                _log.warning("table record refused", topic=self._topic.name, key=key[:100], reason=str(err))
        metrics.TABLE_RECORDS.labels(self._topic.name, outcome).inc()

    def _put(self, key: str, event: Envelope) -> None:
        if not isinstance(event.payload, self._type):
            raise Permanent(f"{event.payload.type} does not belong on {self._topic.name}")
        if self._accept(key, event.payload, self.values.get(key)):
            self.values[key] = event.payload
            self.envelopes[key] = event
            self._on_change(key)
