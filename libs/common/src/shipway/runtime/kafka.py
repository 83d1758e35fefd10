"""The broker's edge: a producer whose every wait is bounded, and the errors of aiokafka sorted by kind."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaProducer, TopicPartition
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shipway.contract.envelope import Envelope, Headers, encode
from shipway.contract.errors import InvalidField, Permanent, Transient
from shipway.contract.events import Payload
from shipway.contract.topics import TOPICS, Topic, topic_of
from shipway.runtime import doorbell, trace
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.tls import tls_context
from shipway.runtime.waiting import until_reachable

HEADERS_BYTES = 48_000
"""What a message may have besides its value; Kafka's own limit for the whole is 1,048,588."""


@dataclass(frozen=True)
class Position:
    """Where the broker put a message."""

    partition: int
    offset: int


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments that every aiokafka client of these settings takes.

    Raises:
        InvalidField: a certificate's file, or the user, is missing.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "request_timeout_ms": settings.request_timeout_ms,
    }
    if settings.security != "PLAINTEXT":
        arguments["security_protocol"] = settings.security
    if settings.security.endswith("SSL"):
        arguments["ssl_context"] = tls_context(
            "KAFKA", ca_file=settings.ca_file, cert_file=settings.cert_file, key_file=settings.key_file
        )
    if settings.security.startswith("SASL"):
        if not settings.username:
            raise InvalidField("KAFKA__USERNAME", f"is needed with {settings.security}")
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.username
        arguments["sasl_plain_password"] = settings.password.get_secret_value()
    return arguments


async def probe(settings: KafkaSettings) -> None:
    """Asks the broker for its metadata.

    Raises:
        Transient: it does not answer.
    """
    client = AIOKafkaClient(**client_arguments(settings))
    try:
        async with asyncio.timeout(settings.request_timeout_ms / 1000):
            await client.bootstrap()
    except (KafkaError, OSError, TimeoutError) as err:
        why = await _refusal(settings) or str(err) or type(err).__name__
        raise Transient(f"Kafka at {settings.bootstrap}: {why}") from err
    finally:
        await stop_bounded(client.close(), 2)


async def partitions_of(settings: KafkaSettings, topics: Iterable[Topic]) -> list[TopicPartition]:
    """Every partition that the broker has of these topics, however many the table names; a missing topic has none.

    Asked by a client of its own: a consumer that subscribes to nothing is told of no topic by Apache Kafka.

    Raises:
        KafkaError, OSError, TimeoutError: the broker does not answer.
    """
    client = AIOKafkaClient(**client_arguments(settings))
    try:
        async with asyncio.timeout(2 * settings.request_timeout_ms / 1000):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    finally:
        await stop_bounded(client.close(), 2)
    return [TopicPartition(t.name, p) for t in topics for p in sorted(cluster.partitions_for_topic(t.name) or ())]


async def _refusal(settings: KafkaSettings) -> str | None:
    """Why the first broker refuses a connection, which aiokafka only logs: a password, a certificate, a protocol."""
    host, port, _ = collect_hosts(settings.bootstrap)[0]
    arguments = {name: value for name, value in client_arguments(settings).items() if name != "bootstrap_servers"}
    try:
        connection = await create_conn(host, port, **arguments)
    except (KafkaError, OSError, TimeoutError) as err:
        return f"{settings.security}: {err or type(err).__name__}"
    connection.close()
    return None


class Producer:
    """Sends messages, each acknowledged by all in-sync replicas.

    Not idempotent on purpose: aiokafka's idempotent producer never recovers from a broker that lost its
    state; duplicates are what the inbox is for.
    """

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connects.

        Raises:
            Transient: the broker does not answer.
        """
        await probe(self._settings)
        producer = AIOKafkaProducer(
            **client_arguments(self._settings),
            client_id=self._client_id,
            acks="all",
            enable_idempotence=False,
            max_request_size=max(topic.max_message_bytes for topic in TOPICS) + HEADERS_BYTES,
        )
        try:
            async with asyncio.timeout(2 * self._settings.request_timeout_ms / 1000):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as err:
            await stop_bounded(producer.stop(), 2)
            raise Transient(f"Kafka at {self._settings.bootstrap}: {err or type(err).__name__}") from err
        self._producer = producer

    async def stop(self) -> None:
        """Sends what is pending, but for no longer than the request timeout."""
        if self._producer is not None:
            await stop_bounded(self._producer.stop(), self._settings.request_timeout_ms / 1000 + 1)

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, *, more: bool = False
    ) -> Position:
        """Sends one message and waits for its acknowledgement. A None value is a tombstone.

        ``more``: another follows at once, and the doorbell is left to that.

        Raises:
            Transient: no acknowledgement in time; the message may or may not be there.
            Permanent: the broker will never take it (too large).
        """
        if self._producer is None:
            raise Transient("the producer is not connected yet")
        try:
            async with asyncio.timeout(2 * self._settings.request_timeout_ms / 1000):
                sent = await self._producer.send_and_wait(topic, value, key=key, headers=headers)
        except MessageSizeTooLargeError as err:
            raise Permanent(f"a message of {len(value or b'')} bytes is too large for {topic}") from err
        except (KafkaError, OSError, TimeoutError) as err:
            raise Transient(f"Kafka did not take a message for {topic}: {err or type(err).__name__}") from err
        if self._settings.doorbell and not more:
            doorbell.ring(self._settings.doorbell, topic)
        return Position(sent.partition, sent.offset)

    async def publish(
        self, source: str, payload: Payload, *, event_id: str | None = None, traceparent: str | None = None
    ) -> Envelope:
        """Sends an event to its topic, as a span of the current trace; gives the envelope it went in.

        ``traceparent``: it belongs there instead, and is no span of its own, as one that is said again.

        Raises:
            Transient: as of send.
        """
        event = Envelope(
            id=event_id or uuid.uuid4().hex,
            source=source,
            time=datetime.now(UTC),
            payload=payload,
            traceparent=traceparent or trace.sent(type(payload).__name__),
        )
        message = encode(event)
        await self.send(topic_of(payload).name, message.key, message.value, message.headers)
        return event


@asynccontextmanager
async def connected_producer(
    settings: KafkaSettings, client_id: str, report: Any = lambda _: None
) -> AsyncIterator[Producer]:
    """A producer, once the broker answers; waits for that as long as it takes."""
    producer = Producer(settings, client_id)
    await until_reachable("Kafka", producer.start, report)
    try:
        yield producer
    finally:
        await producer.stop()


async def stop_bounded(stopping: Any, limit_s: float) -> None:
    """aiokafka's stop can hang with the broker down (issue 1101): nothing is lost by giving up on it."""
    try:
        await asyncio.wait_for(stopping, limit_s)
    except (KafkaError, OSError, TimeoutError):
        return
