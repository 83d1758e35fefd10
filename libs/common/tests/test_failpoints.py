"""A service killed at every edge of every commit: each event has one effect, and is told of under one id."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from shipway.contract import events as e
from shipway.contract import topics
from shipway.contract.envelope import decode
from shipway.runtime.database import Database
from shipway.runtime.delivery import inbox, metadata, outbox
from shipway.runtime.failpoints import POINTS, VARIABLE, armed
from shipway.runtime.kafka import Producer, client_arguments
from shipway.runtime.settings import DatabaseSettings

CHILD = Path(__file__).with_name("consumer_child.py")
WITHIN_S = 60.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(DatabaseSettings(url=SecretStr(database_url)), "evaluator")
    async with opened.begin() as tx:
        await tx.execute(sa.text("create schema evaluator"))
        await tx.run_sync(metadata.create_all)
        # No key: a second effect is not refused, but seen.
        await tx.execute(sa.text("create table effects (request_id text)"))
    yield opened
    await opened.close()


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not await true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.05)


async def start(kafka: Any, database_url: str, point: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), kafka.settings.bootstrap, database_url, env={**os.environ, VARIABLE: point}
    )


async def column(database: Database, statement: Any) -> list[Any]:
    async with database.begin() as tx:
        return list((await tx.execute(statement)).scalars())


async def told(kafka: Any, topic: topics.Topic) -> list[Any]:
    """Every event on a topic, as often as it is there."""
    reader = AIOKafkaConsumer(**client_arguments(kafka.settings))
    await reader.start()
    try:
        places = [TopicPartition(topic.name, p) for p in range(topic.partitions)]
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        ends = await reader.end_offsets(places)
        found = []
        while any([await reader.position(place) < ends[place] for place in places]):
            for batch in (await reader.getmany(timeout_ms=100)).values():
                found += [decode(record.value, list(record.headers)) for record in batch]
        return found
    finally:
        await reader.stop()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_killed_at_every_point_in_turn(kafka: Any, database: Database, database_url: str) -> None:
    """Each life of the service ends at another point, and the next one meets what it left behind."""
    producer = Producer(kafka.settings, "test")
    await producer.start()
    for number, point in enumerate(POINTS):
        for stage in ("handled", "refused"):
            request_id = f"{stage} {number}"
            event = e.TrainingProgressed(model="m", request_id=request_id, stage=stage, fraction=0)
            await producer.publish("test", event, event_id=request_id)
        child = await start(kafka, database_url, point)
        try:
            assert await asyncio.wait_for(child.wait(), WITHIN_S) == -signal.SIGKILL, point
        finally:
            if child.returncode is None:
                child.kill()
    await producer.stop()

    waiting = sa.select(outbox.c.seq).where(outbox.c.published_at.is_(None))
    last = await start(kafka, database_url, "")
    try:

        async def over() -> bool:
            handled = len(await column(database, sa.select(inbox.c.event_id)))
            return handled == 2 * len(POINTS) and not await column(database, waiting)

        await until(over, "everything is handled and told")
        await until(lambda: caught_up(kafka), "every offset is committed")
    finally:
        last.kill()
        await last.wait()

    wanted = {f"handled {number}" for number in range(len(POINTS))}
    assert Counter(await column(database, sa.text("select request_id from effects"))) == Counter(wanted)
    events = await told(kafka, topics.RELEASE_EVENTS)
    assert {event.payload.release_id for event in events} == wanted
    assert len({event.id for event in events}) == len(wanted), "what is told again is told under the same id"
    letters = await told(kafka, topics.DEAD_LETTERS["evaluator"])
    assert len({letter.id for letter in letters}) == len(POINTS)
    assert len(events) > len(wanted) or len(letters) > len(POINTS), "a kill after the send was not met"


async def caught_up(kafka: Any) -> bool:
    """Whether the group has committed everything."""
    places = [TopicPartition(topics.TRAINING_EVENTS.name, p) for p in range(topics.TRAINING_EVENTS.partitions)]
    reader, admin = (
        AIOKafkaConsumer(**client_arguments(kafka.settings)),
        AIOKafkaAdminClient(**client_arguments(kafka.settings)),
    )
    await reader.start()
    await admin.start()
    try:
        ends = await reader.end_offsets(places)
        committed = await admin.list_consumer_group_offsets("shipway.evaluator")
        return all(committed[place].offset == ends[place] for place in places if ends[place])
    except KeyError:
        return False
    finally:
        await admin.close()
        await reader.stop()


def test_a_value_that_names_no_point_is_refused() -> None:
    assert armed("") is None
    assert armed("published") == ("published", 1)
    assert armed("published:3") == ("published", 3)
    for wrong in ("publishd", "published:0", "published:x", "published:1:2", ":1"):
        with pytest.raises(ValueError, match="the names are inbox recorded"):
            armed(wrong)
