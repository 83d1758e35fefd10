"""Dead letters: what services refused, with the reason, and sending it again once the cause is mended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shipway.client.errors import ShipwayError, Unreachable
from shipway.contract.envelope import decode, text_headers
from shipway.contract.errors import Permanent, Transient
from shipway.contract.events import DeadLettered
from shipway.contract.topics import DEAD_LETTERS
from shipway.runtime import idle_fetch
from shipway.runtime.deadletters import MAX_KEPT_BYTES
from shipway.runtime.kafka import Producer, client_arguments, partitions_of, stop_bounded
from shipway.runtime.settings import KafkaSettings


@dataclass(frozen=True)
class Letter:
    """A dead letter. ``id`` is the service that refused the message, and the letter's own place: trainer-0-12."""

    id: str
    at: datetime
    content: DeadLettered

    @property
    def type(self) -> str:
        """The message's type, in its own words."""
        return text_headers(self.content.headers).get("ce_type", "unknown")[:100]

    @property
    def whole(self) -> bool:
        """Whether the message was kept whole."""
        return self.content.value is None or len(self.content.value) < MAX_KEPT_BYTES


async def read_letters(settings: KafkaSettings) -> list[Letter]:
    """Every dead letter that the broker keeps, oldest first.

    Raises:
        Unreachable: the broker does not answer.
    """
    idle_fetch.set_pause(settings.idle_fetch_pause_ms)
    consumer = AIOKafkaConsumer(**client_arguments(settings), enable_auto_commit=False, auto_offset_reset="earliest")
    services = {topic.name: service for service, topic in DEAD_LETTERS.items()}
    letters: list[Letter] = []
    try:
        await consumer.start()
        places = await partitions_of(settings, DEAD_LETTERS.values())
        if not places:
            return []
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    try:
                        event = decode(record.value, list(record.headers), record.timestamp)
                    except Permanent:
                        continue  # nobody's letter
                    if isinstance(event.payload, DeadLettered):
                        name = f"{services[place.topic]}-{place.partition}-{record.offset}"
                        letters.append(Letter(name, event.time, event.payload))
    except (KafkaError, OSError, TimeoutError) as err:
        raise Unreachable(f"Kafka at {settings.bootstrap} does not answer: {err or type(err).__name__}") from err
    finally:
        await stop_bounded(consumer.stop(), 2)
    return sorted(letters, key=lambda letter: letter.at)


async def redrive(settings: KafkaSettings, letters: Iterable[Letter]) -> None:
    """Sends messages again, unchanged, to the topics where they were. Who has handled one passes it over by its id.

    Raises:
        ShipwayError: a message was not kept whole. Unreachable: the broker does not answer.
    """
    letters = list(letters)
    for letter in letters:
        if not letter.whole:
            raise ShipwayError(f"{letter.id}: only the first {MAX_KEPT_BYTES} bytes were kept; publish it anew")
    producer = Producer(settings, "shipway-client")
    try:
        await producer.start()
        for letter in letters:
            message = letter.content
            await producer.send(message.topic, message.key, message.value, message.headers)
    except Transient as err:
        raise Unreachable(str(err)) from err
    finally:
        await producer.stop()
