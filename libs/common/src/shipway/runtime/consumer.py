"""Consuming events: inbox and effect in one transaction, the offset after it, and the error's type decides.

Messages of topics that carry no events are gathered for a moment, and handled together (see gathering).

FastStream carries the messages; what could lose one is taken into our own hands: acknowledgement is manual,
headers are made safe before FastStream decodes them (its issue 2458), and no exception reaches its loop,
which would log it and move on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from shipway.contract.envelope import text_headers
from shipway.contract.errors import Transient
from shipway.contract.events import Payload
from shipway.contract.topics import Service, Topic, consumed_by
from shipway.runtime import idle_fetch, log, trace
from shipway.runtime.database import Database
from shipway.runtime.failpoints import reached
from shipway.runtime.faststream_edge import Taken, safe_headers, security, undecoded
from shipway.runtime.gathering import Gathered
from shipway.runtime.handling import Admission, Ended, Handler, Handling, RawHandler
from shipway.runtime.relay import Relay
from shipway.runtime.settings import KafkaSettings

_log = log.get(__name__)
SESSION_TIMEOUT_MS = 10_000
LOOK_WITHIN_S = 10.0
FINISH_WITHIN_S = 6.0
"""What the event in hand has when the consumer stops; then it is cancelled, to come again."""
STOP_WITHIN_S = 10.0
GRACE_S = 0.25
"""What is gathered is left so long to the next message, by which all partitions' offsets are committed."""


@dataclass(frozen=True)
class Progress:
    """How far a group is in a partition: the offsets of the next message to handle and of the next to be written."""

    committed: int
    end: int


class Consumer:
    """One service's place in its consumer group.

    ``handlers`` maps each type of event to its handler ``(transaction, payload, envelope)``; events of other
    types, and those of a newer release, are passed over. ``raw`` handles whole messages of topics that carry no
    events (the prediction log): one after silence at once, then those of about a second together. ``admit`` is asked
    before an event is handled. Handlers do database work only; long work is a row that a reconciler picks up, which
    ``after_commit`` wakes where an event had an effect.
    """

    def __init__(
        self,
        service: Service,
        settings: KafkaSettings,
        database: Database,
        relay: Relay,
        handlers: Mapping[type[Payload], Handler],
        *,
        raw: Mapping[str, RawHandler] | None = None,
        admit: Admission = lambda _record, _event: None,
        after_commit: Callable[[], None] = lambda: None,
        on_bug: Callable[[BaseException], None],
    ) -> None:
        idle_fetch.use(settings)
        idle_fetch.not_awaited(raw or ())
        self._relay = relay
        self._handling = Handling(service, database, handlers, raw or {}, admit)
        self._raw = frozenset(raw or ())
        self._gathered = Gathered()
        self._last: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._after_commit = after_commit
        self._on_bug = on_bug
        self.problem: str | None = "not started"
        self.topics = [t.name for t in consumed_by(service)]
        self.broker = KafkaBroker(
            settings.bootstrap,
            client_id=f"shipway-{service}",
            security=security(settings),
            # Joining a group takes until a member that was killed is given up; who asks again before that is
            # another new member to wait for, and so on for ever.
            request_timeout_ms=max(settings.request_timeout_ms, 2 * SESSION_TIMEOUT_MS),
            # A broker that came back empty has no partitions to assign until its topics are made again.
            metadata_max_age_ms=3_000,
            graceful_timeout=FINISH_WITHIN_S,
            apply_types=False,  # see undecoded
            serializer=None,
            logger=None,
        )
        self._subscriber = self.broker.subscriber(
            *self.topics,
            group_id=f"shipway.{service}",
            group_instance_id=settings.group_instance or None,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_poll_interval_ms=30 * 60 * 1000,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=1_000,
            parser=safe_headers,
            decoder=undecoded,
        )
        self._subscriber(self._on_message)

    async def start(self) -> None:
        """Joins the group.

        Raises:
            Transient: the broker does not answer.
        """
        try:
            await self.broker.start()
        except (KafkaError, OSError) as err:
            await self.stop()
            raise Transient(f"Kafka: {err or type(err).__name__}") from err
        self.problem = None

    async def stop(self) -> None:
        """Leaves the group, after the event in hand, within bounds.

        Whoever is given up half-way stays a member, and its partitions wait for it: so the event is given up first.
        """
        self.problem = "stopped"
        if self._last is not None:
            self._last.cancel()  # what it was to handle comes again
        try:
            await asyncio.wait_for(self.broker.stop(), STOP_WITHIN_S)
        except* (KafkaError, OSError, TimeoutError) as errors:  # FastStream gives a group
            reasons = [str(err) or type(err).__name__ for err in errors.exceptions]
            _log.warning("consumer did not stop in time", reason="; ".join(reasons))

    async def progress(self, topic: Topic) -> dict[int, Progress]:
        """How far the whole group is in one of the service's topics, by partition.

        Raises:
            Transient: the broker does not answer, or does not have the topic yet.
        """
        consumer = self._subscriber.consumer
        numbers = consumer.partitions_for_topic(topic.name) if consumer else None
        if consumer is None or not numbers:
            raise Transient(f"Kafka: nothing is known of {topic.name} yet")
        partitions = [TopicPartition(topic.name, number) for number in sorted(numbers)]
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                ends = await consumer.end_offsets(partitions)
                committed = {p: await consumer.committed(p) for p in partitions}
        except (KafkaError, OSError, TimeoutError) as err:
            raise Transient(f"Kafka: {err or type(err).__name__}") from err
        return {p.partition: Progress(committed[p] or 0, ends[p]) for p in partitions}

    async def _on_message(self, taken: Taken) -> None:
        record = taken.record
        async with self._one_at_a_time:
            if record.topic in self._raw:
                self._gathered.add(record)
            elif await self._ended_well(self._handle_event(record)):
                self._gathered.handled(record)
            else:
                return
            if self._gathered.due(time.monotonic()) and not await self._ended_well(self._handle_gathered()):
                return
            if not self._gathered:
                await self._commit(taken.consumer.commit())  # it is of all messages that came, in every partition
            elif self._last is None:
                self._last = asyncio.create_task(self._handle_last())

    async def _handle_event(self, record: ConsumerRecord) -> None:
        headers = text_headers(record.headers)
        traceparent = headers.get("traceparent")
        name = f"process {headers.get('ce_type', '')}" if traceparent else ""
        about = {"messaging.system": "kafka", "messaging.destination.name": record.topic}
        with trace.within(traceparent, name, "consumer", **about):
            ended = await self._until_settled(record.topic, lambda: self._handling.settle(record))
        reached("effect committed")
        if ended.new:
            self._after_commit()

    async def _handle_gathered(self) -> None:
        for topic, records in self._gathered.by_topic().items():
            settle = partial(self._handling.settle_together, topic, records)
            with trace.within(None):
                ended = await self._until_settled(topic, settle)
            reached("effect committed")
            if ended.new:
                self._after_commit()
        self._gathered.clear(time.monotonic())

    async def _handle_last(self) -> None:
        """Handles what is gathered where no message comes that would have it handled."""
        try:
            while self._gathered:
                await asyncio.sleep(self._gathered.due_in(time.monotonic()) + GRACE_S)
                async with self._one_at_a_time:
                    if self._gathered.due(time.monotonic()):
                        if not await self._ended_well(self._handle_gathered()):
                            return
                        assert self._subscriber.consumer is not None
                        # Of what was handled alone: another message may be on its way into our hands.
                        await self._commit(self._subscriber.consumer.commit(self._gathered.ends()))
        finally:
            self._last = None

    async def _ended_well(self, handling: Awaitable[None]) -> bool:
        """False where it ended with a bug, which ends the service: nothing is acknowledged."""
        try:
            await handling
        except Exception as bug:  # noqa: BLE001  FastStream would log it and go on: it must stop the service
            self._subscriber.running = False  # fetches no more, and waits for no one: the process is ending
            self._on_bug(bug)
            return False
        return True

    async def _commit(self, committing: Awaitable[None]) -> None:
        try:
            await committing
            self._gathered.committed()
            reached("offset committed")
        except KafkaError as err:
            # It comes again, and the inbox knows it.
            _log.warning("offset not committed", reason=str(err) or type(err).__name__)

    async def _until_settled(self, topic: str, settle: Callable[[], Awaitable[Ended]]) -> Ended:
        pause_s = 0.1
        while True:
            try:
                ended = await settle()
            except Transient as err:
                self.problem = f"waiting to handle a message of {topic}: {err}"
                _log.warning("waiting", reason=str(err), topic=topic)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 5.0)
            else:
                self.problem = None
                if ended.told:
                    self._relay.wake()
                return ended
