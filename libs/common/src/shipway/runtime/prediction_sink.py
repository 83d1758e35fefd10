"""The way of prediction records to the log: gathered for a moment, encoded in batches, spooled, sent, and counted.

At every moment, for answered predictions of a process: ``answered + inherited = logged + dropped + waiting``. What
waits is in memory or in the spool; ``inherited`` is what earlier processes left in the spool's folder, or had in memory
when they were killed (which is dropped at once). Over all processes of a folder ``answered = logged + dropped`` once
nothing waits. Putting a record never waits, and never fails: serving does not depend on the log.
"""

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path

from prometheus_client import Counter

from shipway.contract.envelope import WireMessage
from shipway.contract.errors import Permanent, Transient
from shipway.contract.events import MAX_BYTES
from shipway.contract.predictionlog import PredictionRecord, encode_batch
from shipway.runtime import log
from shipway.runtime.batchfile import Batch
from shipway.runtime.ledger import Version
from shipway.runtime.prediction_metrics import ANSWERED, DROPPED, INHERITED, LOGGED, REFUSALS, SPOOLED, WAITING
from shipway.runtime.settings import PredictionLogSettings
from shipway.runtime.spool import Place, Spool
from shipway.runtime.waiting import happens

_log = log.get(__name__)
Send = Callable[[WireMessage], Awaitable[None]]
EVERY_S = 0.25
# Records in memory are few, as they are spooled four times a second; this many where the disk hangs.
MEMORY_RECORDS = 200_000


def open_spool(settings: PredictionLogSettings) -> Spool:
    """The spool of a process; takes over what earlier ones left. Blocks.

    Raises:
        InvalidField: the folder can't be used.
    """
    root = Path(settings.folder) if settings.folder else None
    return Spool(root, max_bytes=settings.max_bytes, memory_bytes=settings.memory_bytes)


class PredictionSink:
    """Takes records, and sends them by ``send`` in batches, at least every quarter of a second.

    ``run`` it, and ``close`` it before ``run`` is cancelled. ``off``: every record is dropped, and counted.
    """

    def __init__(
        self, send: Send, spool: Spool, *, source: str, instance: str, off: bool = False, batch_rows: int = 2_000
    ) -> None:
        self._send = send
        self._spool = spool
        self._source = source
        self._instance = instance
        self._off = off
        self._batch_rows = batch_rows
        self._waiting: deque[PredictionRecord] = deque()
        self._being_written = 0
        self._in_hand: Place | None = None
        self._full, self._spooled = asyncio.Event(), asyncio.Event()
        self._writing, self._delivering = asyncio.Lock(), asyncio.Lock()
        for version, count in spool.inherited.items():
            INHERITED.labels(*version).inc(count)
        for version, count in spool.lost.items():
            DROPPED.labels(*version).inc(count)
        WAITING.set_function(self._answers_waiting)
        SPOOLED.set_function(lambda: spool.bytes)

    def put(self, record: PredictionRecord) -> None:
        """Takes a record; an answered one is counted as such here."""
        if record.outcome == "answered":
            self.put_answered([record])
        else:
            self._take([record])

    def put_answered(self, records: list[PredictionRecord]) -> None:
        """Takes answered records, all of one version."""
        version = records[0].model, records[0].version or 0
        ANSWERED.labels(*version).inc(len(records))
        if self._spool.home is not None:
            self._spool.home.ledger.answered(version, len(records))
        self._take(records)

    def _take(self, records: list[PredictionRecord]) -> None:
        if self._off:
            self._drop(records)
            return
        self._waiting.extend(records)
        while len(self._waiting) > max(MEMORY_RECORDS, self._being_written):
            self._drop([self._waiting[self._being_written]])
            del self._waiting[self._being_written]
        if len(self._waiting) >= self._batch_rows:
            self._full.set()

    async def run(self) -> None:
        """Spools and sends for ever; while the broker is away, records go to the spool and stay there."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._gather())
            group.create_task(self._deliver())

    async def close(self, within_s: float = 5.0) -> None:
        """Sends what waits. What is not taken in that time stays in the spool's folder, or is dropped and counted."""
        try:
            async with asyncio.timeout(within_s):
                while self._waiting:
                    await self._spool_batch()
                while self._spool:
                    try:
                        await self._deliver_batch()
                    except Transient:
                        await asyncio.sleep(0.1)
        except TimeoutError:
            _log.warning("prediction records not sent at the stop", batches=len(self._spool))
        for place in self._spool.in_memory():
            self._count(DROPPED, "dropped", place)
        self._drop(list(self._waiting))
        self._waiting.clear()
        self._spool.close()

    async def _gather(self) -> None:
        while True:
            await happens(self._full, EVERY_S)
            self._full.clear()
            if self._waiting:
                await self._spool_batch()
            # What came meanwhile waits for its turn: many small batches cost their reader the most.
            while len(self._waiting) >= self._batch_rows:
                await self._spool_batch()

    async def _deliver(self) -> None:
        while True:
            await happens(self._spooled, 1.0)
            self._spooled.clear()
            try:
                while self._spool:
                    await self._deliver_batch()
            except Transient as err:
                _log.warning("prediction log waits", reason=str(err), batches=len(self._spool))
                await asyncio.sleep(0.5)
                self._spooled.set()

    async def _spool_batch(self) -> None:
        """Moves the oldest records from memory to the spool."""
        async with self._writing:
            records = list(islice(self._waiting, self._batch_rows))
            if not records:
                return
            batch, self._being_written = self._batch(records)
            place = await asyncio.to_thread(self._spool.write, batch)
            for _ in range(self._being_written):
                self._waiting.popleft()
            self._being_written = 0
            self._spool.push(place)
            self._spooled.set()
            for old in self._spool.overflow(self._in_hand):
                self._count(DROPPED, "dropped", old)

    def _batch(self, records: list[PredictionRecord]) -> tuple[Batch, int]:
        """As many of the records, from the first on, as a broker takes in one message; and how many."""
        message = encode_batch(records, self._source, self._instance)
        while len(message.value or b"") > MAX_BYTES and len(records) > 1:
            records = records[: len(records) // 2]
            message = encode_batch(records, self._source, self._instance)
        answered = _by_version(records)
        of_versions = [(model, version, count) for (model, version), count in answered.items()]
        others = len(records) - answered.total()
        return Batch(message.key, message.value, message.headers, of_versions, others), len(records)

    async def _deliver_batch(self) -> None:
        """Sends the oldest batch. It keeps its id however often it is tried, and whoever tries: it counts once."""
        async with self._delivering:
            place = self._in_hand = self._spool.oldest()
            if place is None:
                return
            counter, kept = LOGGED, "logged"
            try:
                await self._send((await asyncio.to_thread(place.read)).message)
            except Permanent as err:
                _log.error("prediction batch refused", reason=str(err), records=place.answered.total() + place.others)
                counter, kept = DROPPED, "dropped"
            finally:
                self._in_hand = None
            self._spool.pop(place)
            self._count(counter, kept, place)

    def _count(self, counter: Counter, kept: str, place: Place) -> None:
        place.settle()
        for version, count in place.answered.items():
            counter.labels(*version).inc(count)
        REFUSALS.labels(kept).inc(place.others)

    def _drop(self, records: list[PredictionRecord]) -> None:
        answered = _by_version(records)
        for version, count in answered.items():
            DROPPED.labels(*version).inc(count)
            if self._spool.home is not None:
                self._spool.home.ledger.settled(version, count)
        REFUSALS.labels("dropped").inc(len(records) - answered.total())

    def _answers_waiting(self) -> int:
        return sum(record.outcome == "answered" for record in self._waiting) + self._spool.answers


def _by_version(records: list[PredictionRecord]) -> Tally[Version]:
    return Tally((r.model, r.version or 0) for r in records if r.outcome == "answered")
