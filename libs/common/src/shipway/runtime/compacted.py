"""A compacted topic, read whole and followed.

It keeps what it knows through an outage (static stability). A topic that is silent for longer than its
writers' slow beat is read again by a new consumer: clients can get stuck, and a broker that lost its data starts
anew at offset 0.
"""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from shipway.contract.envelope import Envelope, decode
from shipway.contract.errors import Permanent
from shipway.contract.topics import Topic
from shipway.contract.versions import NewerType
from shipway.runtime import idle_fetch, log, metrics
from shipway.runtime.kafka import client_arguments, partitions_of, stop_bounded
from shipway.runtime.newer import PassedOver
from shipway.runtime.settings import KafkaSettings

_log = log.get(__name__)
# Records taken between two turns of the event loop: about a millisecond of work, which requests may have to wait for.
_AT_ONCE = 100


class Compacted:
    """A compacted topic that is followed: ``put`` hears of each record by key, ``remove`` of each key that is gone.

    ``put`` may raise Permanent, for what does not belong there. ``caught_up`` is set once the whole topic was read the
    first time, and ``on_read`` is called then and after each outage. With ``resume`` a new consumer goes on where the
    last one was, as far as the broker still has that; without, it reads all again, so that older values come by anew.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: Topic,
        put: Callable[[str, Envelope], None],
        remove: Callable[[str], None],
        *,
        on_read: Callable[[], None] = lambda: None,
        silence_s: float = 30.0,
        resume: bool = False,
    ) -> None:
        idle_fetch.use(settings)
        self._settings = settings
        self._topic = topic
        self._put = put
        self._remove = remove
        self._on_read = on_read
        self._silence_s = silence_s
        self._resume = resume
        self._read_to: dict[TopicPartition, int] = {}
        self._passed_over = PassedOver()
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
            places = await partitions_of(self._settings, [self._topic])
            if not places:
                raise UnknownTopicOrPartitionError(self._topic.name)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            if self._resume:
                await self._seek(consumer, ends)
            clock = asyncio.get_running_loop().time
            heard = clock()
            while clock() - heard < self._silence_s:
                for place, batch in (await consumer.getmany(timeout_ms=500, max_records=_AT_ONCE)).items():
                    heard = clock()
                    for record in batch:
                        self._take(record.key, record.value, list(record.headers), record.timestamp)
                    self._read_to[place] = batch[-1].offset + 1
                await asyncio.sleep(0)  # what has come already is given without a turn for others
                if self.problem and [p for p in places if await consumer.position(p) < ends[p]] == []:
                    self.problem = None
                    self.caught_up.set()
                    self._on_read()
        finally:
            await stop_bounded(consumer.stop(), 2)

    async def _seek(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        """Goes on where the last consumer was; where the broker has lost that, from the start."""
        begins = await consumer.beginning_offsets(list(ends))
        for place, end in ends.items():
            if begins[place] <= (at := self._read_to.get(place, -1)) <= end:
                consumer.seek(place, at)

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
            self._remove(key)
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
