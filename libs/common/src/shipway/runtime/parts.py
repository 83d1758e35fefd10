"""What a service with a database is made of: schema, producer, relay, consumer; entered in order, left in reverse."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shipway.contract.events import Payload
from shipway.contract.topics import Service
from shipway.runtime.consumer import Consumer
from shipway.runtime.database import Database
from shipway.runtime.handling import Admission, Handler, RawHandler
from shipway.runtime.kafka import Producer, connected_producer
from shipway.runtime.lifecycle import Life
from shipway.runtime.migrations import migrate
from shipway.runtime.relay import Relay
from shipway.runtime.settings import DatabaseSettings, KafkaSettings
from shipway.runtime.starting import provisioned
from shipway.runtime.waiting import until_reachable


@dataclass(frozen=True)
class Parts:
    """The connected parts of a service; ``source`` is what its events call it."""

    service: Service
    database: Database
    producer: Producer
    relay: Relay

    @property
    def source(self) -> str:
        """The CloudEvents source of this service's events."""
        return f"shipway/{self.service}"


@asynccontextmanager
async def connected(
    life: Life,
    service: Service,
    kafka: KafkaSettings,
    database_settings: DatabaseSettings,
    *,
    on_broker_loss: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Parts]:
    """The parts, once database and broker answer: schema migrated, topics provisioned, relay running."""
    database = Database(database_settings, service)
    try:
        await until_reachable(
            "PostgreSQL",
            lambda: migrate(database, f"shipway.{service}"),
            lambda reason: life.readiness.report("database", reason),
        )
        await provisioned(life, kafka)
        report = lambda reason: life.readiness.report("kafka", reason)  # noqa: E731
        async with connected_producer(kafka, f"shipway-{service}", report) as producer:
            relay = Relay(database, producer, kafka, on_broker_loss)
            life.spawn("relay", relay.run())
            life.readiness.check("outbox", lambda: relay.problem)
            yield Parts(service, database, producer, relay)
            await relay.drain()
    finally:
        await database.close()


@asynccontextmanager
async def consuming(
    life: Life,
    parts: Parts,
    kafka: KafkaSettings,
    handlers: Mapping[type[Payload], Handler],
    *,
    raw: Mapping[str, RawHandler] | None = None,
    admit: Admission = lambda _record, _event: None,
    after_commit: Callable[[], None] = lambda: None,
) -> AsyncIterator[Consumer]:
    """The service's consumer, in its group; ``after_commit`` wakes the service's reconciler."""
    consumer = Consumer(
        parts.service,
        kafka,
        parts.database,
        parts.relay,
        handlers,
        raw=raw,
        admit=admit,
        after_commit=after_commit,
        on_bug=life.fail,
    )
    life.readiness.check("consumer", lambda: consumer.problem)
    await until_reachable("Kafka", consumer.start, lambda reason: life.readiness.report("kafka", reason))
    try:
        yield consumer
    finally:
        await consumer.stop()
