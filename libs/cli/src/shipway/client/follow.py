"""Following the topics from now on, as any program could: no group, no offsets kept."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from shipway.client.errors import Unreachable
from shipway.contract.envelope import Envelope, decode
from shipway.contract.errors import Permanent, Transient
from shipway.contract.topics import Topic
from shipway.runtime import idle_fetch
from shipway.runtime.kafka import client_arguments, partitions_of, probe, stop_bounded
from shipway.runtime.settings import KafkaSettings


@dataclass(frozen=True)
class Followed:
    """A message: the event that it is, or why it is none."""

    topic: str
    partition: int
    offset: int
    event: Envelope | None
    problem: str | None


class Follower:
    """Reads topics from where they were when it was opened (or from their start)."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def __aiter__(self) -> AsyncIterator[Followed]:
        async for record in self.messages():
            yield _followed(record)

    async def messages(self) -> AsyncIterator[ConsumerRecord]:
        """The messages themselves, whatever is in them."""
        while True:
            try:
                for records in (await self._consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        yield record
            except KafkaError:
                await asyncio.sleep(0.5)  # the broker is away: it goes on when it is back


@asynccontextmanager
async def following(
    settings: KafkaSettings, topics: Sequence[Topic], *, from_start: bool = False
) -> AsyncIterator[Follower]:
    """Opens a follower; what is published after this returns is not missed.

    Raises:
        Unreachable: the broker does not answer, or lacks the topics.
    """
    idle_fetch.use(settings)
    consumer = AIOKafkaConsumer(**client_arguments(settings), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        try:
            await probe(settings)
            await asyncio.wait_for(consumer.start(), 10)
            places = await partitions_of(settings, topics)
            if not places:
                raise Unreachable(
                    f"Kafka at {settings.bootstrap} has none of Shipway's topics yet; is a stack running?"
                )
            consumer.assign(places)
            if from_start:
                await consumer.seek_to_beginning(*places)
            else:
                for place, end in (await consumer.end_offsets(places)).items():
                    consumer.seek(place, end)
        except Transient as err:
            raise Unreachable(str(err)) from err
        except (KafkaError, OSError, TimeoutError) as err:
            raise Unreachable(f"Kafka at {settings.bootstrap} does not answer: {err or type(err).__name__}") from err
        yield Follower(consumer)
    finally:
        await stop_bounded(consumer.stop(), 2)


def _followed(record: ConsumerRecord) -> Followed:
    event, problem = None, None
    if record.value is None:
        problem = "a tombstone"
    else:
        try:
            event = decode(record.value, list(record.headers), record.timestamp)
        except Permanent as err:
            problem = str(err)
    return Followed(record.topic, record.partition, record.offset, event, problem)
