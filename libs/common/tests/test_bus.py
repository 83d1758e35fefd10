"""What Shipway relies on of a broker; every kind of broker passes it.

SHIPWAY_TEST_KAFKA names brokers to hold against it besides the embedded one, as host:port, comma-separated.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from bus import Broker, ends_within

from shipway.contract import events as e
from shipway.contract.envelope import Envelope, encode
from shipway.contract.errors import Permanent
from shipway.contract.topics import Topic
from shipway.runtime import idle_fetch
from shipway.runtime.compacted import Compacted
from shipway.runtime.kafka import Producer, client_arguments, partitions_of
from shipway.runtime.provision import missing_topics, provision
from shipway.runtime.relay import read_back
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.tableview import TableView

GIVEN = list(filter(None, os.environ.get("SHIPWAY_TEST_KAFKA", "").split(",")))


@pytest.fixture(params=["embedded", *GIVEN])
async def bus(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[KafkaSettings]:
    """How a running broker is reached."""
    if request.param != "embedded":
        idle_fetch.use(KafkaSettings())
        yield KafkaSettings(bootstrap=request.param)
        return
    running = Broker(tmp_path / "broker")
    idle_fetch.use(running.settings)
    await running.start()
    yield running.settings
    running.kill_and_wipe()


def a_topic(partitions: int = 3, retention_h: int | None = 1, of: type[e.Event] = e.TrainingAccepted) -> Topic:
    """A topic that nobody else has."""
    name = f"shipway.test-{secrets.token_hex(6)}"
    return Topic(name, (of,), "model", (), (), partitions=partitions, retention_h=retention_h)


@asynccontextmanager
async def producing(bus: KafkaSettings) -> AsyncIterator[Producer]:
    producer = Producer(bus, "test")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def reading(bus: KafkaSettings, topic: Topic, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all partitions or, in a group, of those that it is given."""
    arguments = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "metadata_max_age_ms": 1000}
    if group is not None:
        arguments |= {"group_id": group, "session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
    consumer = AIOKafkaConsumer(**client_arguments(bus), **arguments)
    await consumer.start()
    if group is None:
        consumer.assign([TopicPartition(topic.name, p) for p in range(topic.partitions)])
    else:
        consumer.subscribe([topic.name])
    try:
        yield consumer
    finally:
        await consumer.stop()


async def taken(consumer: AIOKafkaConsumer, n: int) -> list[ConsumerRecord]:
    """The next ``n`` messages, in the order of their partitions."""
    found: list[ConsumerRecord] = []
    async with ends_within(30, f"{n} messages", found):
        while len(found) < n:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += records
    return found


async def test_topics_are_made_once_and_grow(bus: KafkaSettings) -> None:
    topic = a_topic(partitions=1)
    assert await missing_topics(bus, (topic,)) == [f"topic {topic.name} is missing (1 partitions)"]
    assert await partitions_of(bus, [topic]) == []
    assert await provision(bus, (topic,)) == [topic.name]
    assert await provision(bus, (topic,)) == []
    grown = Topic(topic.name, topic.types, topic.key, (), (), partitions=3, retention_h=1)
    assert await missing_topics(bus, (grown,)) == [f"topic {topic.name} has 1 partitions; 3 are needed"]
    assert await provision(bus, (grown,)) == [topic.name]
    async with ends_within(10, "the new partitions are there"):
        while await missing_topics(bus, (grown,)):
            await asyncio.sleep(0.05)
    assert await partitions_of(bus, [topic]) == [TopicPartition(topic.name, p) for p in range(3)]


async def test_messages_come_as_they_were_sent_and_a_key_keeps_its_order(bus: KafkaSettings) -> None:
    topic = a_topic()
    await provision(bus, (topic,))
    headers = [("ce_id", "é".encode()), ("odd", b"\xff\x00"), ("odd", b"twice")]
    sent: dict[bytes, list[bytes | None]] = {f"k{k}".encode(): [b"%d" % i for i in range(20)] for k in range(6)}
    sent[b"gone"] = [None]
    async with producing(bus) as producer, reading(bus, topic) as consumer:
        places = {
            (key, (await producer.send(topic.name, key, value, headers)).partition)
            for key, values in sent.items()
            for value in values
        }
        got: dict[bytes, list[bytes | None]] = {key: [] for key in sent}
        for record in await taken(consumer, sum(map(len, sent.values()))):
            got[record.key].append(record.value)
            assert list(record.headers) == headers
            assert (record.key, record.partition) in places
    assert got == sent
    assert len(places) == len(sent), "a key has one partition"


async def test_a_group_goes_on_where_it_committed(bus: KafkaSettings) -> None:
    topic, group = a_topic(partitions=1), f"test-{secrets.token_hex(4)}"
    await provision(bus, (topic,))
    async with producing(bus) as producer:
        for i in range(10):
            await producer.send(topic.name, b"k", b"%d" % i, [])
    place = TopicPartition(topic.name, 0)
    async with reading(bus, topic, group) as consumer:
        assert [r.value for r in await taken(consumer, 10)] == [b"%d" % i for i in range(10)]
        await consumer.commit({place: 4})
    async with reading(bus, topic, group) as consumer:
        assert [r.offset for r in await taken(consumer, 6)] == list(range(4, 10)), "uncommitted ones come again"
        assert await consumer.committed(place) == 4
        assert (await consumer.end_offsets([place]))[place] == 10


async def test_members_share_and_take_over(bus: KafkaSettings) -> None:
    topic, group = a_topic(partitions=2), f"test-{secrets.token_hex(4)}"
    await provision(bus, (topic,))

    async def poll(consumer: AIOKafkaConsumer) -> None:
        while True:
            await consumer.getmany(timeout_ms=100)

    async with reading(bus, topic, group) as first:
        async with reading(bus, topic, group) as second:
            polling = [asyncio.create_task(poll(member)) for member in (first, second)]
            async with ends_within(30, "a partition each"):
                while not len(first.assignment()) == len(second.assignment()) == 1:
                    await asyncio.sleep(0.05)
            for task in polling:
                task.cancel()
            await asyncio.gather(*polling, return_exceptions=True)
        polling = [asyncio.create_task(poll(first))]
        async with ends_within(30, "all partitions for the one that is left"):
            while len(first.assignment()) != 2:
                await asyncio.sleep(0.05)
        polling[0].cancel()
        await asyncio.gather(*polling, return_exceptions=True)


async def test_a_table_has_the_last_value_of_every_key(bus: KafkaSettings) -> None:
    topic = a_topic(partitions=1, retention_h=None)
    await provision(bus, (topic,))

    async def say(producer: Producer, model: str, request: str | None) -> None:
        payload = e.TrainingAccepted(model=model, request_id=request or "")
        message = encode(Envelope(secrets.token_hex(8), "test", datetime.now(UTC), payload))
        value = message.value if request is not None else None
        await producer.send(topic.name, message.key, value, message.headers)

    async with producing(bus) as producer:
        for model, request in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("c", None)]:
            await say(producer, model, request)
        view = TableView(bus, topic, e.TrainingAccepted)
        following = asyncio.create_task(view.run())
        async with ends_within(20, "the table is read", view.values):
            await view.caught_up.wait()
        assert {key: value.request_id for key, value in view.values.items()} == {"a": "2", "b": "1"}
        await say(producer, "b", None)
        async with ends_within(20, "a tombstone removes its key", view.values):
            while "b" in view.values:
                await asyncio.sleep(0.02)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_table_that_resumes_hears_no_older_value_again_and_a_lost_topic_anew(bus: KafkaSettings) -> None:
    topic = a_topic(partitions=1, retention_h=None)
    await provision(bus, (topic,))
    heard: list[tuple[str, str]] = []

    def put(key: str, event: Envelope) -> None:
        assert isinstance(event.payload, e.TrainingAccepted)
        heard.append((key, event.payload.request_id))

    async with producing(bus) as producer:

        async def say(request: str) -> None:
            payload = e.TrainingAccepted(model="a", request_id=request)
            message = encode(Envelope(secrets.token_hex(8), "test", datetime.now(UTC), payload))
            await producer.send(topic.name, message.key, message.value, message.headers)

        async def follow(compacted: Compacted, *wanted: str) -> None:
            heard.clear()
            following = asyncio.create_task(compacted.run())
            async with ends_within(20, f"{wanted} are heard", heard):
                while [request for _, request in heard] != list(wanted):
                    await asyncio.sleep(0.02)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

        await say("1")
        resuming = Compacted(bus, topic, put, lambda key: heard.append((key, "gone")), resume=True)
        await follow(resuming, "1")
        await producer.send(topic.name, b"a", None, [])
        await say("2")
        await follow(resuming, "gone", "2")
        resuming._read_to[TopicPartition(topic.name, 0)] = 99  # as if the broker had lost what came after
        await follow(resuming, "1", "gone", "2")


async def test_what_was_acknowledged_is_found_where_it_was_put(bus: KafkaSettings) -> None:
    topic = a_topic(partitions=1)
    await provision(bus, (topic,))
    place = TopicPartition(topic.name, 0)
    async with producing(bus) as producer:
        for i in range(3):
            assert (await producer.send(topic.name, b"k", b"v", [("ce_id", b"%d" % i)])).offset == i
        assert (await producer.send(topic.name, b"k", b"v", [])).offset == 3
    assert await read_back(bus, {place: (2, b"2")}) == {}
    assert await read_back(bus, {place: (3, None)}) == {}, "one without an id"
    assert await read_back(bus, {place: (7, b"7")}) == {place: 4}, "lost from the log's end on"
    assert await read_back(bus, {place: (2, b"another")}) == {place: 0}, "another log"


@pytest.mark.parametrize("kind", [e.TrainingAccepted, e.DesiredState])
async def test_messages_of_the_largest_size_pass_and_larger_ones_are_refused(
    bus: KafkaSettings, kind: type[e.Event]
) -> None:
    topic = a_topic(partitions=1, of=kind)
    await provision(bus, (topic,))
    large = os.urandom(kind.max_bytes)
    async with producing(bus) as producer, reading(bus, topic) as consumer:
        await producer.send(topic.name, b"k", large, [])
        assert [r.value for r in await taken(consumer, 1)] == [large]
        with pytest.raises(Permanent, match="too large"):
            await producer.send(topic.name, b"k", os.urandom(9_000_000), [])
