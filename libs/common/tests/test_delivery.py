"""At least once on the wire, once in effect: with a real PostgreSQL and a real broker, killed and wiped."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from shipway.contract import events as e
from shipway.contract import topics
from shipway.contract.envelope import Envelope, WireMessage, encode
from shipway.contract.errors import Permanent, Transient
from shipway.runtime import consumer, doorbell, idle_fetch, metrics
from shipway.runtime.consumer import Consumer
from shipway.runtime.database import Database, is_transient
from shipway.runtime.delivery import Outgoing, emit, metadata, outbox, outbox_written, put
from shipway.runtime.handling import Handler
from shipway.runtime.kafka import Producer, client_arguments, connected_producer
from shipway.runtime.provision import provision
from shipway.runtime.relay import Relay
from shipway.runtime.settings import DatabaseSettings, KafkaSettings
from shipway.runtime.tableview import TableView


async def until(true: Callable[[], Awaitable[bool]] | Callable[[], bool], within_s: float = 20) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = true()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not in time")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(DatabaseSettings(url=SecretStr(database_url)), "evaluator")
    async with opened.begin() as tx:
        await tx.execute(sa.text("create schema evaluator"))
        await tx.run_sync(metadata.create_all)
    yield opened
    await opened.close()


class Service:
    """The delivery half of a service: producer, relay and consumer, with handlers given by a test."""

    def __init__(self, kafka: Any, database: Database) -> None:
        self.kafka = kafka
        self.database = database
        self.producer = Producer(kafka.settings, "test")
        self.relay = Relay(database, self.producer, kafka.settings)
        self.bugs: list[BaseException] = []

    @asynccontextmanager
    async def consuming(self, handler: Handler, **more: Any) -> AsyncIterator[Consumer]:
        consumer = Consumer(
            "evaluator",
            self.kafka.settings,
            self.database,
            self.relay,
            {e.TrainingProgressed: handler},
            on_bug=self.bugs.append,
            **more,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def letters(self) -> list[e.DeadLettered]:
        """The dead letters in the outbox."""
        import msgspec

        of_letters = outbox.c.topic == topics.DEAD_LETTERS["evaluator"].name
        statement = sa.select(outbox.c.value).where(of_letters).order_by(outbox.c.seq)
        async with self.database.begin() as tx:
            return [msgspec.json.decode(v, type=e.DeadLettered) for v in (await tx.execute(statement)).scalars()]

    async def unpublished(self) -> int:
        """Outbox rows that wait."""
        statement = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.published_at.is_(None))
        async with self.database.begin() as tx:
            return int((await tx.execute(statement)).scalar_one())


@pytest.fixture
async def service(kafka: Any, database: Database) -> AsyncIterator[Service]:
    made = Service(kafka, database)
    await made.producer.start()
    relaying = asyncio.create_task(made.relay.run())
    yield made
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await made.producer.stop()


def passed_over(topic: str) -> float:
    """How many messages of a newer release were passed over."""
    return float(metrics.NEWER.labels(topic)._value.get())


def progressed(number: int) -> e.TrainingProgressed:
    return e.TrainingProgressed(model="m", request_id=str(number), stage="s", fraction=0)


async def test_repeats_have_one_effect_and_refusals_stop_nobody(service: Service) -> None:
    seen: list[str] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        seen.append(payload.request_id)
        if payload.request_id == "2":
            raise Permanent("number 2 is refused by rule")

    for number in (1, 1, 1, 2, 2):
        await service.producer.publish("test", progressed(number), event_id=f"id-{number}")
    await service.producer.send(topics.TRAINING_EVENTS.name, b"m", b"\xff", [("ce_id", b"\xff\xfe"), ("x", b"\xff")])
    await service.producer.send(topics.TRAINING_EVENTS.name, b"m", None, [])
    await service.producer.publish("test", progressed(3))
    async with service.consuming(handle):
        await until(lambda: "3" in seen)
    assert seen == ["1", "2", "2", "3"]
    letters = await service.letters()
    assert [letter.offset for letter in letters] == [3, 4, 5, 6]
    assert "refused by rule" in letters[0].reason
    assert letters[2].value == b"\xff"
    assert ("ce_id", b"\xff\xfe") in letters[2].headers


async def test_what_is_not_admitted_or_not_of_the_topic_is_a_dead_letter(service: Service) -> None:
    seen: list[str] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        seen.append(payload.request_id)

    def admit(_record: Any, event: Envelope) -> None:
        if event.payload.request_id == "1":  # type: ignore[union-attr]
            raise Permanent("number 1 has no signature")

    elsewhere = encode(Envelope("i", "s", datetime.now(UTC), progressed(9)))
    await service.producer.send(topics.RELEASE_EVENTS.name, b"m", elsewhere.value, elsewhere.headers)
    for number in (1, 2):
        await service.producer.publish("test", progressed(number))
    async with service.consuming(handle, admit=admit):
        await until(lambda: "2" in seen)

        async def both() -> bool:
            return len(await service.letters()) == 2

        await until(both)
    assert seen == ["2"]
    reasons = sorted(letter.reason for letter in await service.letters())
    assert "belongs on shipway.training-events" in reasons[0]
    assert "no signature" in reasons[1]


async def test_what_a_newer_release_says_is_passed_over_and_counted(service: Service) -> None:
    seen: list[str] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        seen.append(payload.request_id)

    async def take(tx: Any, _records: Any) -> None:
        seen.append("batch")

    topic = topics.TRAINING_EVENTS.name
    before = passed_over(topic), passed_over(topics.RELEASE_EVENTS.name)
    known = encode(Envelope("i", "s", datetime.now(UTC), progressed(9))).headers
    for name in (b"shipway.TrainingProgressed.v2", b"shipway.TrainingProgressed.v2", b"shipway.TrainingPaused.v1"):
        headers = [(k, name if k == "ce_type" else v) for k, v in known]
        await service.producer.send(topic, b"m", b'{"unit": "percent"}', headers)
    headers = [(k, b"shipway.PredictionBatch.v2" if k == "ce_type" else v) for k, v in known]
    await service.producer.send(topics.RELEASE_EVENTS.name, b"m", b"arrow", headers)
    await service.producer.publish("test", progressed(1))
    async with service.consuming(handle, raw={topics.RELEASE_EVENTS.name: take}):
        await until(lambda: passed_over(topics.RELEASE_EVENTS.name) == before[1] + 1 and "1" in seen)
    assert seen == ["1"]
    assert passed_over(topic) == before[0] + 3
    assert not await service.letters()


async def test_ids_that_no_inbox_can_hold_stop_nobody(service: Service) -> None:
    seen: list[bytes] = []

    async def take(_tx: Any, records: Any) -> None:
        seen.extend(record.value for record in records)

    async def unheard(_tx: Any, _payload: Any, _event: Any) -> None:
        pytest.fail("what is taken raw is not decoded")

    for event_id in (b"a\x00b", b"x" * 5000, b"", b"good"):
        headers = [("ce_id", event_id), ("ce_source", b"s")]
        await service.producer.send(topics.TRAINING_EVENTS.name, b"m", event_id[:9], headers)
    async with service.consuming(unheard, raw={topics.TRAINING_EVENTS.name: take}):
        await until(lambda: seen == [b"good"])
    assert not service.bugs
    assert len(await service.letters()) == 3


def raw(event_id: str, value: bytes) -> tuple[str, bytes, bytes, list[tuple[str, bytes]]]:
    """A message that is taken as it is."""
    return topics.RELEASE_EVENTS.name, b"m", value, [("ce_id", event_id.encode()), ("ce_source", b"s")]


async def unheard(_tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
    """A handler of events that do nothing."""


async def test_raw_messages_that_wait_are_handled_together_each_once(service: Service) -> None:
    steps: list[list[bytes]] = []

    async def take(_tx: Any, records: Any) -> None:
        steps.append([record.value for record in records])

    for number in (1, 2, 2, 3, 2):
        await service.producer.send(*raw(f"id-{number}", b"%d" % number))
    async with service.consuming(unheard, raw={topics.RELEASE_EVENTS.name: take}) as consumer:

        async def committed(number: int) -> bool:
            found = await consumer.progress(topics.RELEASE_EVENTS)
            return sum(p.committed for p in found.values()) == number

        await until(lambda: committed(5))
        for number in (3, 4):
            await service.producer.send(*raw(f"id-{number}", b"%d" % number))
        await until(lambda: committed(7))
    assert steps == [[b"1"], [b"2", b"3"], [b"4"]]


def _into(seen: list[str]) -> Any:
    async def take(_tx: Any, records: Any) -> None:
        seen.extend(record.value.decode() for record in records)

    return take


@asynccontextmanager
async def _one_gathered(service: Service, seen: list[str]) -> AsyncIterator[Consumer]:
    """A consumer that has handled one message of a log, holds another, and is told of an event."""

    async def handle(_tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        seen.append(payload.request_id)

    for number, value in enumerate((b"at once", b"of the log")):
        await service.producer.send(*raw(f"id-{number}", value))
    async with service.consuming(handle, raw={topics.RELEASE_EVENTS.name: _into(seen)}) as consumer:
        await until(lambda: len(consumer._gathered) == 1)
        await service.producer.publish("test", progressed(1))
        yield consumer


async def test_an_event_is_not_held_up_by_what_is_gathered_nor_commits_it(service: Service) -> None:
    seen: list[str] = []
    async with _one_gathered(service, seen):
        await until(lambda: "1" in seen)
        assert seen == ["at once", "1"]
    seen.clear()
    async with service.consuming(unheard, raw={topics.RELEASE_EVENTS.name: _into(seen)}):
        await until(lambda: seen == ["of the log"])


async def test_an_event_that_was_handled_beside_what_is_gathered_is_committed_with_it(service: Service) -> None:
    seen: list[str] = []
    async with _one_gathered(service, seen) as consumer:

        async def committed() -> list[int]:
            found = [await consumer.progress(topic) for topic in (topics.RELEASE_EVENTS, topics.TRAINING_EVENTS)]
            return [sum(place.committed for place in places.values()) for places in found]

        async def both() -> bool:
            return await committed() == [2, 1]

        await until(both)
    assert seen == ["at once", "1", "of the log"]


async def test_of_messages_that_are_handled_together_the_bad_ones_are_refused(service: Service) -> None:
    seen: list[bytes] = []

    async def take(_tx: Any, records: Any) -> None:
        if any(record.value == b"bad" for record in records):
            raise Permanent("no batch")
        seen.extend(record.value for record in records)

    for number, value in enumerate((b"1", b"bad", b"2", b"bad")):
        await service.producer.send(*raw(f"id-{number}", value))
    async with service.consuming(unheard, raw={topics.RELEASE_EVENTS.name: take}):

        async def both() -> bool:
            return [letter.offset for letter in await service.letters()] == [1, 3]

        await until(both)
    assert seen == [b"1", b"2"]


async def test_an_outage_is_waited_out_in_order(service: Service) -> None:
    seen: list[str] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        seen.append(payload.request_id)
        if payload.request_id == "1" and len(seen) < 4:
            raise Transient("the store is away")

    for number in (1, 2):
        await service.producer.publish("test", progressed(number))
    async with service.consuming(handle) as consumer:
        await until(lambda: consumer.problem is not None and "store is away" in consumer.problem)
        await until(lambda: "2" in seen)
        assert consumer.problem is None
    assert seen == ["1", "1", "1", "1", "2"]
    assert not await service.letters()


async def test_how_far_a_group_is_counts_what_it_has_handled(service: Service) -> None:
    may_go_on = asyncio.Event()

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        if payload.request_id == "2":
            await may_go_on.wait()

    for number in (1, 2, 3):
        await service.producer.publish("test", progressed(number))
    async with service.consuming(handle) as consumer:

        async def committed(number: int) -> bool:
            found = await consumer.progress(topics.TRAINING_EVENTS)
            assert sorted(p.end for p in found.values()) == [0, 0, 3]
            return sum(p.committed for p in found.values()) == number

        await until(lambda: committed(1))
        may_go_on.set()
        await until(lambda: committed(3))
    with pytest.raises(Transient, match="nothing is known"):
        await consumer.progress(topics.TRAINING_EVENTS)


async def test_the_effect_and_its_events_commit_together_or_not_at_all(service: Service) -> None:
    tries: list[int] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        await emit(tx, "test", e.ReleaseSuperseded(model="m", version=1, release_id="r", by_version=2))
        tries.append(1)
        if len(tries) == 1:
            raise Transient("after the effect, before the commit")

    await service.producer.publish("test", progressed(1))
    async with service.consuming(handle):
        await until(lambda: len(tries) == 2)
    async with service.database.begin() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).select_from(outbox))).scalar_one() == 1


async def test_a_bug_stops_the_service_and_a_poisonous_event_not_for_ever(service: Service) -> None:
    seen: list[str] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        seen.append(payload.request_id)
        if payload.request_id == "1":
            raise ZeroDivisionError("a bug")

    for number in (1, 2):
        await service.producer.publish("test", progressed(number))
    for life in (1, 2):
        async with service.consuming(handle):
            await until(lambda life=life: len(service.bugs) == life)
        assert members() == [], "who stops with a bug has left, or the next one would wait for its session to end"
        assert "2" not in seen, "what comes after a bug is not handled before it"
    async with service.consuming(handle):
        await until(lambda: "2" in seen)
    (letter,) = await service.letters()
    assert "ZeroDivisionError" in letter.reason
    assert len(service.bugs) == 2


async def test_an_event_that_can_not_be_handled_keeps_no_consumer_from_leaving(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "FINISH_WITHIN_S", 0.2)
    tries: list[str] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        tries.append(payload.request_id)
        raise Transient("the database is away")

    await service.producer.publish("test", progressed(1))
    async with service.consuming(handle):
        await until(lambda: bool(tries))
        assert members() != []
    assert members() == []


def members() -> list[str]:
    """What still runs of consumers that are in a group."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("GroupCoordinator.")]


async def test_a_broker_that_takes_nothing_keeps_no_connection_from_others(
    kafka: Any, database: Database, database_url: str
) -> None:
    one = DatabaseSettings(url=SecretStr(database_url), pool_size=1, timeout_s=1)
    few, producer = Database(one, "evaluator"), Producer(kafka.settings, "test")
    await producer.start()
    async with database.begin() as tx:
        await emit(tx, "test", progressed(1))
    kafka.pause()
    publishing = asyncio.create_task(Relay(few, producer, kafka.settings).drain())
    for _ in range(10):
        await few.probe()
        await asyncio.sleep(0.02)
    assert not publishing.done(), "it waits for the broker"
    kafka.resume()
    await publishing
    await producer.stop()
    await few.close()


async def test_one_relay_at_a_time_publishes_and_the_order_is_kept(kafka: Any, database: Database) -> None:
    producer = Producer(kafka.settings, "test")
    await producer.start()
    relays = [Relay(database, producer, kafka.settings) for _ in range(2)]

    async def tell(number: int) -> None:
        async with database.begin() as tx:
            await emit(tx, "test", progressed(number))

    async def taken() -> bool:
        async with database.begin() as tx:
            return bool((await tx.execute(sa.text("select 1 from pg_locks where locktype = 'advisory'"))).all())

    async def places() -> list[int | None]:
        async with database.begin() as tx:
            return list((await tx.execute(sa.select(outbox.c.broker_offset).order_by(outbox.c.seq))).scalars())

    await tell(1)
    kafka.pause()
    first = asyncio.create_task(relays[0].drain())
    await until(taken)
    await tell(2)
    await relays[1].drain()
    assert await places() == [None, None], "the other one has them in hand, and what comes after"
    kafka.resume()
    await first
    await asyncio.gather(*(relay.drain() for relay in relays))
    before, after = await places()
    assert before is not None and after == before + 1
    await producer.stop()


async def test_readers_are_rung_for_once_for_what_is_published_together(
    kafka: Any, database: Database, tmp_path: Path
) -> None:
    rung: list[int] = []

    class Reader:
        def hear(self) -> None:
            rung.append(1)

    reader, settings = Reader(), kafka.settings.model_copy(update={"doorbell": str(tmp_path / "bell")})
    doorbell.listen(settings.doorbell, [topics.TRAINING_EVENTS.name], reader.hear)
    producer = Producer(settings, "test")
    await producer.start()
    for together in (3, 1):
        async with database.begin() as tx:
            for number in range(together):
                await emit(tx, "test", progressed(number))
        await Relay(database, producer, settings).drain()
    await until(lambda: len(rung) == 2)
    await producer.stop()


async def test_an_event_marks_its_own_transaction_as_one_with_work_for_the_relay(database: Database) -> None:
    one = Database(database._settings.model_copy(update={"pool_size": 1}), "evaluator")
    async with one.begin() as tx:
        assert not outbox_written(tx)
        await emit(tx, "test", progressed(1))
        assert outbox_written(tx)
    async with one.begin() as tx:  # on the same connection
        assert not outbox_written(tx)
    await one.close()


async def test_what_a_broker_forgot_is_published_again(service: Service, kafka: Any) -> None:
    async with service.database.begin() as tx:
        for number in range(5):
            await emit(tx, "test", progressed(number), event_id=f"id-{number}")
    service.relay.wake()

    async def published() -> bool:
        return await service.unpublished() == 0

    async def watched() -> bool:
        """The watch leaves rows alone that are younger than a second."""
        newest = sa.select(sa.func.max(outbox.c.published_at) < sa.func.now() - sa.text("interval '1 s'"))
        async with service.database.begin() as tx:
            return bool((await tx.execute(newest)).scalar())

    await until(published)
    await until(watched)
    seen: list[str] = []

    async def handle(tx: Any, payload: e.TrainingProgressed, _event: Any) -> None:
        seen.append(payload.request_id)

    kafka.kill_and_wipe()
    await kafka.start()
    async with service.consuming(handle):
        await until(lambda: len(seen) == 5)
    assert seen == ["0", "1", "2", "3", "4"]


async def test_a_message_without_an_id_is_not_taken_for_lost(service: Service) -> None:
    """Such as one that was refused for its lack, and is sent again as it was."""
    async with service.database.begin() as tx:
        await put(tx, [Outgoing(topics.TRAINING_EVENTS.name, "letter-1", WireMessage(b"m", b"{}", []))])
    service.relay.wake()

    async def published() -> bool:
        return await service.unpublished() == 0

    await until(published)
    async with service.database.begin() as tx:
        await tx.execute(sa.update(outbox).values(published_at=sa.func.now() - sa.text("interval '1 minute'")))
    assert await service.relay._lost_rows() == 0


async def test_what_the_broker_will_never_take_is_said_and_stops_its_own_topic_only(service: Service) -> None:
    small, too_large = WireMessage(b"m", b"{}", []), WireMessage(b"m", bytes(9_000_000), [])
    async with service.database.begin() as tx:
        too_large_first = [Outgoing(topics.TRAINING_EVENTS.name, "too-large", too_large)]
        await put(tx, [*too_large_first, Outgoing(topics.TRAINING_EVENTS.name, "after-it", small)])
        await put(tx, [Outgoing(topics.RELEASE_EVENTS.name, "of-another-topic", small)])
    service.relay.wake()
    await until(lambda: "takes less than the topic needs" in (service.relay.problem or ""))
    async with service.database.begin() as tx:
        waiting = (await tx.execute(sa.select(outbox.c.event_id).where(outbox.c.published_at.is_(None)))).scalars()
        assert set(waiting) == {"too-large", "after-it"}
    assert service.bugs == []


async def test_a_table_follows_its_topic_through_a_loss(service: Service, kafka: Any) -> None:
    def state(generation: int) -> e.DesiredState:
        return e.DesiredState(model="m", generation=generation, versions=[], traffic=[])

    def newer(_key: str, new: e.DesiredState, old: e.DesiredState | None) -> bool:
        return old is None or new.generation >= old.generation

    view = TableView(kafka.settings, topics.DESIRED_STATE, e.DesiredState, accept=newer, silence_s=1.0)
    await service.producer.publish("test", state(1))
    await service.producer.send(topics.DESIRED_STATE.name, b"other", b"garbage", [])
    following = asyncio.create_task(view.run())
    try:
        await asyncio.wait_for(view.caught_up.wait(), 10)
        assert view.values["m"].generation == 1
        before = passed_over(topics.DESIRED_STATE.name)
        tomorrow = [("ce_type", b"shipway.DesiredState.v2")]
        await service.producer.send(topics.DESIRED_STATE.name, b"m", b"{}", tomorrow)
        await until(lambda: passed_over(topics.DESIRED_STATE.name) == before + 1)
        assert view.values["m"].generation == 1
        await service.producer.publish("test", state(3))
        await until(lambda: view.values["m"].generation == 3)
        kafka.kill_and_wipe()
        await kafka.start()
        await provision(kafka.settings)
        assert view.values["m"].generation == 3, "what is known stays known"
        await service.producer.publish("test", state(2))
        await service.producer.publish("test", state(4))
        await until(lambda: view.values["m"].generation == 4)
        await service.producer.send(topics.DESIRED_STATE.name, b"m", None, [])
        await until(lambda: "m" not in view.values)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_the_idle_pause_bites(kafka: Any) -> None:
    """Fails when aiokafka's private hook moves: without the pause this broker is asked thousands of times a second."""
    from aiokafka.consumer.fetcher import Fetcher

    async def fetches_in_half_a_second(pause_ms: int) -> int:
        idle_fetch.use(kafka.settings.model_copy(update={"idle_fetch_pause_ms": pause_ms}))
        hooked = Fetcher._proc_fetch_request
        fetches = 0

        async def counted(*args: Any) -> Any:
            nonlocal fetches
            fetches += 1
            return await hooked(*args)

        Fetcher._proc_fetch_request = counted
        consumer = AIOKafkaConsumer(topics.PRESENCE.name, **client_arguments(kafka.settings))
        try:
            await consumer.start()
            fetches = 0
            await consumer.getmany(timeout_ms=500)
            return fetches
        finally:
            await consumer.stop()

    try:
        assert await fetches_in_half_a_second(50) <= 12
        assert await fetches_in_half_a_second(0) > 100
    finally:
        idle_fetch.use(KafkaSettings())


def test_the_longer_nothing_comes_the_longer_is_the_pause() -> None:
    pauses = [idle_fetch._longer(empty) for empty in range(1, 200)]
    assert pauses == sorted(pauses) and (pauses[0], pauses[-1]) == (1, idle_fetch.MOST)


async def test_who_publishes_wakes_who_reads_by_the_doorbell(
    kafka: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pauses that no test would wait for: what is read in time was rung for, and asked for once."""
    monkeypatch.setattr(idle_fetch, "RUNG_S", 600.0)
    settings = kafka.settings.model_copy(update={"doorbell": str(tmp_path / "doorbell")})
    await provision(settings)
    asked: list[Any] = []
    original = idle_fetch._original

    async def counted(fetcher: Any, *others: Any) -> Any:
        asked.append(others)
        return await original(fetcher, *others)

    monkeypatch.setattr(idle_fetch, "_original", counted)
    view = TableView(settings, topics.DESIRED_STATE, e.DesiredState)
    following = asyncio.create_task(view.run())
    try:
        async with connected_producer(settings, "ringing") as producer:
            await until(view.caught_up.is_set)
            asked.clear()
            for generation in (1, 2, 3):
                await producer.publish(
                    "test", e.DesiredState(model="m", generation=generation, versions=[], traffic=[])
                )
                await until(lambda: "m" in view.values and view.values["m"].generation == generation)  # noqa: B023
            assert len(asked) == 3
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        idle_fetch.use(KafkaSettings())


async def test_nobody_is_woken_for_what_is_gathered_anyway(service: Service, tmp_path: Path) -> None:
    service.kafka.settings = service.kafka.settings.model_copy(update={"doorbell": str(tmp_path / "doorbell")})
    steps: list[int] = []

    async def take(_tx: Any, records: Any) -> None:
        steps.append(len(records))

    try:
        async with service.consuming(unheard, raw={topics.RELEASE_EVENTS.name: take}):
            await service.producer.publish("test", progressed(1))
            await until((tmp_path / "doorbell" / topics.TRAINING_EVENTS.name).exists)
            await service.producer.send(*raw("id-1", b"1"))
            await until(lambda: steps == [1])
            assert not (tmp_path / "doorbell" / topics.RELEASE_EVENTS.name).exists()
    finally:
        idle_fetch.not_awaited(())
        idle_fetch.use(KafkaSettings())


async def test_a_topic_that_came_back_too_small_grows(kafka: Any) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    kafka.kill_and_wipe()
    await kafka.start()
    admin = AIOKafkaAdminClient(**client_arguments(kafka.settings))
    await admin.start()
    await admin.create_topics([NewTopic(topics.TRAINING_EVENTS.name, 1, 1)])
    assert topics.TRAINING_EVENTS.name in await provision(kafka.settings)
    (described,) = await admin.describe_topics([topics.TRAINING_EVENTS.name])
    await admin.close()
    assert len(described["partitions"]) == topics.TRAINING_EVENTS.partitions
    assert await provision(kafka.settings) == []


async def test_an_outage_of_the_database_is_told_from_a_bug(database: Database) -> None:
    with pytest.raises(sa.exc.ProgrammingError):
        async with database.begin() as tx:
            await tx.execute(sa.text("select * from nothing"))
    away = Database(DatabaseSettings(url=SecretStr("postgresql://x@127.0.0.1:9/x"), timeout_s=0.5), "evaluator")
    with pytest.raises(Transient, match="PostgreSQL"):
        await away.probe()
    assert is_transient(ConnectionRefusedError())
    assert not is_transient(ZeroDivisionError())
