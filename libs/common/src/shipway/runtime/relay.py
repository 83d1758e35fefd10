"""The outbox's way to the broker, and the watch over what the broker acknowledged.

What goes to one topic keeps its order, each message acknowledged before the next is sent; topics don't wait for each
other: nothing was promised of their order, as each has readers of its own pace.

A broker that lost its data (a new disk, an embedded one that was killed) is noticed because a published row
is not where the broker put it; rows from there on are published again, under the same event ids, which the
inboxes of the readers know.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.dialects.postgresql import distinct_on

from shipway.contract.errors import Permanent, Transient
from shipway.runtime import log, metrics
from shipway.runtime.database import Database
from shipway.runtime.delivery import inbox, outbox
from shipway.runtime.failpoints import reached
from shipway.runtime.kafka import Producer, client_arguments, stop_bounded
from shipway.runtime.provision import provision
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.waiting import happens

_log = log.get(__name__)
BATCH = 100
KEEP_DAYS = 14
_PLACED = (
    sa.update(outbox)
    .where(outbox.c.seq == sa.bindparam("row"))
    .values(published_at=sa.func.now(), partition=sa.bindparam("at_partition"), broker_offset=sa.bindparam("at_offset"))
)
_RELAY_LOCK = 0x5245_4C59  # "RELY": one relay a schema at a time, so that a key's events keep their order
# The schema's relay lock is taken first, until the end of the transaction; where another process has it, no row comes.
# A row that it published meanwhile does not come either: what is locked is looked at anew.
_ALONE = sa.select(sa.func.pg_try_advisory_xact_lock(_RELAY_LOCK, sa.func.hashtext(sa.func.current_schema())))
_WAITING = (
    sa.select(outbox.c.seq, outbox.c.topic, outbox.c.key, outbox.c.value, outbox.c.headers)
    .where(outbox.c.published_at.is_(None), _ALONE.scalar_subquery())
    .order_by(outbox.c.seq)
    .limit(BATCH)
    .with_for_update(of=outbox, skip_locked=True)
)


class Relay:
    """Publishes a service's outbox in order; ``wake`` it after a commit, else it looks every second."""

    def __init__(
        self,
        database: Database,
        producer: Producer,
        settings: KafkaSettings,
        on_broker_loss: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._producer = producer
        self._settings = settings
        self._on_broker_loss = on_broker_loss
        self._wake = asyncio.Event()
        self.problem: str | None = None

    def wake(self) -> None:
        """Says that there is something new in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Publishes for ever; an outage is waited out."""
        watch = asyncio.create_task(self._watch_for_ever())
        try:
            while True:
                self._wake.clear()
                try:
                    while await self._publish_batch() == BATCH:
                        pass
                    self.problem = None
                except Transient as err:
                    self.problem = f"outbox: {err}"
                    await asyncio.sleep(0.5)
                except Permanent as err:
                    # It was small enough for the contract: only who runs the broker can mend this.
                    self.problem = f"outbox: the broker takes less than the topic needs, see provision --plan: {err}"
                    _log.error("outbox blocked", reason=str(err))
                    await asyncio.sleep(5)
                await happens(self._wake, 1.0)
        finally:
            watch.cancel()

    async def drain(self) -> None:
        """Publishes what is there now, for a clean stop; gives up on an outage, as nothing is lost by it."""
        try:
            while await self._publish_batch() == BATCH:
                pass
        except Transient as err:
            _log.warning("outbox not drained", reason=str(err))

    async def _publish_batch(self) -> int:
        placed: list[dict[str, int]] = []
        async with self._database.hold() as tx:
            by_topic: defaultdict[str, list[Any]] = defaultdict(list)
            for row in (await tx.execute(_WAITING)).all():
                by_topic[row.topic].append(row)
            ends = await asyncio.gather(
                *(self._publish(of, placed) for of in by_topic.values()), return_exceptions=True
            )
            if placed:
                await tx.execute(_PLACED, placed)
                reached("publication noted")
        if placed:
            reached("publication committed")
        metrics.OUTBOX_PUBLISHED.inc(len(placed))
        for end in ends:
            if end is not None:
                raise end
        return len(placed)

    async def _publish(self, rows: Sequence[Any], placed: list[dict[str, int]]) -> None:
        """One after another, to the first that is not taken; each that was, with its place, goes to ``placed``."""
        for row in rows:
            reached("publishing")
            more = row is not rows[-1]
            position = await self._producer.send(row.topic, row.key, row.value, _headers(row.headers), more=more)
            reached("published")
            placed.append({"row": row.seq, "at_partition": position.partition, "at_offset": position.offset})

    async def _watch_for_ever(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(self._settings.beat_s)
            beats += 1
            try:
                if self._settings.provision:
                    await provision(self._settings)
                lost = await self._lost_rows()
                if lost:
                    _log.warning("the broker lost acknowledged messages; publishing them again", rows=lost)
                    metrics.BROKER_LOSSES.inc()
                    if self._on_broker_loss is not None:
                        await self._on_broker_loss()
                    self.wake()
                if beats % 720 == 1:
                    await self._forget_old_rows()
            except Transient as err:
                _log.debug("broker not watched", reason=str(err))

    async def _lost_rows(self) -> int:
        """Marks as unpublished what the broker no longer has; gives the number of such rows."""
        newest = (
            sa.select(outbox.c.topic, outbox.c.partition, outbox.c.broker_offset, outbox.c.headers)
            .where(
                outbox.c.published_at.is_not(None), outbox.c.published_at < sa.func.now() - sa.text("interval '1 s'")
            )
            .ext(distinct_on(outbox.c.topic, outbox.c.partition))
            .order_by(outbox.c.topic, outbox.c.partition, outbox.c.seq.desc())
        )
        async with self._database.begin() as tx:
            marks = (await tx.execute(newest)).all()
        if not marks:
            return 0
        checked = await read_back(
            self._settings, {TopicPartition(m.topic, m.partition): (m.broker_offset, _id_in(m.headers)) for m in marks}
        )
        again = 0
        async with self._database.begin() as tx:
            for place, kept_below in checked.items():
                statement = (
                    sa.update(outbox)
                    .where(outbox.c.topic == place.topic, outbox.c.partition == place.partition)
                    .where(outbox.c.broker_offset >= kept_below, outbox.c.published_at.is_not(None))
                    .values(published_at=None, partition=None, broker_offset=None)
                )
                again += (await tx.execute(statement)).rowcount
        return again

    async def _forget_old_rows(self) -> None:
        old = sa.func.now() - sa.text(f"interval '{KEEP_DAYS} days'")
        async with self._database.begin() as tx:
            await tx.execute(sa.delete(outbox).where(outbox.c.published_at < old))
            await tx.execute(sa.delete(inbox).where(inbox.c.received_at < old))


async def read_back(
    settings: KafkaSettings, marks: dict[TopicPartition, tuple[int, bytes | None]]
) -> dict[TopicPartition, int]:
    """Looks whether each message is where the broker put it; gives the partitions where one is not.

    ``marks`` are (offset, event id as its header has it; None: it has none, as a dead letter may that was sent again).
    The result says from which offset on a partition's messages are lost:
    its end where the log is shorter than the mark, 0 where another message sits at the mark's place. What
    retention or compaction took away is not lost.

    Raises:
        Transient: the broker does not answer.
    """
    consumer = AIOKafkaConsumer(**client_arguments(settings), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        async with asyncio.timeout(10):
            await consumer.start()
        ends = await consumer.end_offsets(list(marks))
        starts = await consumer.beginning_offsets(list(marks))
        lost = {place: ends[place] for place, (offset, _) in marks.items() if ends[place] <= offset}
        doubtful = {p: m for p, m in marks.items() if p not in lost and starts[p] <= m[0]}
        for place, (offset, event_id) in doubtful.items():
            consumer.assign([place])
            consumer.seek(place, offset)
            records = (await consumer.getmany(place, timeout_ms=1000, max_records=1)).get(place, [])
            if records and records[0].offset == offset and dict(records[0].headers).get("ce_id") != event_id:
                lost[place] = 0
        return lost
    except (KafkaError, OSError, TimeoutError) as err:
        raise Transient(f"Kafka: {err or type(err).__name__}") from err
    finally:
        await stop_bounded(consumer.stop(), 2)


def _id_in(headers: bytes) -> bytes | None:
    return dict(_headers(headers)).get("ce_id")


def _headers(packed: bytes) -> list[tuple[str, bytes]]:
    return msgspec.msgpack.decode(packed, type=list[tuple[str, bytes]])
