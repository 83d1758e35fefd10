"""The way of prediction records to the log: gathered for a moment, encoded in batches, spooled, sent, and counted.

At every moment, for answered predictions of a process: ``answered + inherited = logged + dropped + waiting``. What
waits is in memory or in the spool; ``inherited`` is what earlier processes left in the spool's folder, or had in memory
when they were killed (which is dropped at once). Over all processes of a folder ``answered = logged + dropped`` once
nothing waits. Putting a record never waits, and never fails: serving does not depend on the log.
"""

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from prometheus_client import Counter

from shipway.contract.envelope import WireMessage
from shipway.contract.errors import Permanent, Transient
from shipway.contract.predictionbatch import encode_batch
from shipway.contract.predictionlog import AnsweredRows, Part, PredictionRecord
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
# What a batch holds, in numbers of 8 bytes: a message stays below the megabyte that its topic takes.
BATCH_NUMBERS = 100_000
_ACCOUNT = {"answered": ANSWERED, "inherited": INHERITED, "logged": LOGGED, "dropped": DROPPED}
_IDS, _CLIENT_ID = 9, 25
"""Of a row: prediction id and trace with what is told of every row, and a client's name for it, in such numbers."""


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
        self, send: Send, spool: Spool, *, source: str, instance: str, off: bool = False, batch_rows: int = 4_000
    ) -> None:
        self._send = send
        self._spool = spool
        self._source = source
        self._instance = instance
        self._off = off
        self._batch_rows = batch_rows
        self._waiting: deque[Part] = deque()
        self._rows = 0
        self._being_written = 0
        self._in_hand: Place | None = None
        self._counters: dict[Version, Counter] = {}
        self._full, self._spooled = asyncio.Event(), asyncio.Event()
        self._writing, self._delivering = asyncio.Lock(), asyncio.Lock()
        self.totals = dict.fromkeys(_ACCOUNT, 0)
        """What this process answered, inherited, logged and dropped, of all models."""
        for version, count in spool.inherited.items():
            self._told("inherited", version, count)
        for version, count in spool.lost.items():
            self._told("dropped", version, count)
        WAITING.set_function(self._answers_waiting)
        SPOOLED.set_function(lambda: spool.bytes)

    def put(self, record: PredictionRecord) -> None:
        """Takes a record; an answered one is counted as such here."""
        self._take(record)

    def put_answered(self, rows: AnsweredRows) -> None:
        """Takes the records of answered rows."""
        self._take(rows)

    def _take(self, part: Part) -> None:
        answered = _answered(part)
        if answered is not None:
            self._answered_by(answered[0]).inc(answered[1])
            self.totals["answered"] += answered[1]
            if self._spool.home is not None:
                self._spool.home.ledger.answered(*answered)
        if self._off:
            self._drop([part])
            return
        self._waiting.append(part)
        self._rows += _count(part)
        while self._rows > MEMORY_RECORDS and len(self._waiting) > self._being_written:
            self._drop([self._waiting[self._being_written]])
            self._rows -= _count(self._waiting[self._being_written])
            del self._waiting[self._being_written]
        if self._rows >= self._batch_rows:
            self._full.set()

    def _answered_by(self, version: Version) -> Counter:
        """The counter of a version's answers; looked up by its labels it would cost more than all the rest here."""
        counter = self._counters.get(version)
        if counter is None:
            counter = self._counters[version] = ANSWERED.labels(*version)
        return counter

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
            self._settled("dropped", place)
        self._drop(self._waiting)
        self._waiting.clear()
        self._rows = 0
        self._spool.close()

    async def _gather(self) -> None:
        while True:
            await happens(self._full, EVERY_S)
            self._full.clear()
            if self._waiting:
                await self._spool_batch()
            # What came meanwhile waits for its turn: many small batches cost their reader the most.
            while self._rows >= self._batch_rows:
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
            parts = self._next_parts()
            if not parts:
                return
            self._being_written = len(parts)
            # Encoding as well: of many rows it takes longer than what waits for the loop should.
            place = await asyncio.to_thread(lambda: self._spool.write(self._batch(parts)))
            self._being_written = 0
            for part in parts:
                self._waiting.popleft()
                self._rows -= _count(part)
            self._spool.push(place)
            self._spooled.set()
            for old in self._spool.overflow(self._in_hand):
                self._settled("dropped", old)

    def _next_parts(self) -> list[Part]:
        """What goes into the next batch, whole parts; one that is too large by itself is divided first."""
        parts: list[Part] = []
        rows = numbers = 0
        for part in self._waiting:
            rows, numbers = rows + _count(part), numbers + _count(part) * _width(part)
            if rows > self._batch_rows or numbers > BATCH_NUMBERS:
                break
            parts.append(part)
        first = self._waiting[0] if self._waiting else None
        if not parts and isinstance(first, AnsweredRows) and len(first) > 1:
            self._waiting.popleft()
            at = min(len(first) - 1, self._batch_rows, max(1, BATCH_NUMBERS // _width(first)))
            self._waiting.extendleft([first.rows(at, len(first)), first.rows(0, at)])
            return [self._waiting[0]]
        return parts or ([first] if first is not None else [])

    def _batch(self, parts: list[Part]) -> Batch:
        message = encode_batch(parts, self._source, self._instance)
        answered = _by_version(parts)
        of_versions = [(model, version, count) for (model, version), count in answered.items()]
        return Batch(message.key, message.value, message.headers, of_versions, _others(parts))

    async def _deliver_batch(self) -> None:
        """Sends the oldest batch. It keeps its id however often it is tried, and whoever tries: it counts once."""
        async with self._delivering:
            place = self._in_hand = self._spool.oldest()
            if place is None:
                return
            kept = "logged"
            try:
                await self._send((await asyncio.to_thread(place.read)).message)
            except Permanent as err:
                _log.error("prediction batch refused", reason=str(err), records=place.answered.total() + place.others)
                kept = "dropped"
            finally:
                self._in_hand = None
            self._spool.pop(place)
            self._settled(kept, place)

    def _told(self, what: str, version: Version, count: int) -> None:
        _ACCOUNT[what].labels(*version).inc(count)
        self.totals[what] += count

    def _settled(self, kept: str, place: Place) -> None:
        place.settle()
        for version, count in place.answered.items():
            self._told(kept, version, count)
        REFUSALS.labels(kept).inc(place.others)

    def _drop(self, parts: Iterable[Part]) -> None:
        for version, count in _by_version(parts).items():
            self._told("dropped", version, count)
            if self._spool.home is not None:
                self._spool.home.ledger.settled(version, count)
        REFUSALS.labels("dropped").inc(_others(parts))

    def _answers_waiting(self) -> int:
        return _by_version(self._waiting).total() + self._spool.answers


def _count(part: Part) -> int:
    return 1 if isinstance(part, PredictionRecord) else len(part)


def _width(part: Part) -> int:
    """What a row takes, in numbers of 8 bytes."""
    if isinstance(part, AnsweredRows):
        named = 0 if part.client_ids is None else _CLIENT_ID
        return int(_IDS + named + part.features.shape[1] + part.scores.shape[1])
    text = len(part.reason or "") + len(part.client_id or "")
    return _IDS + text // 8 + len(part.features or ()) + len(part.scores or ())


def _answered(part: Part) -> tuple[Version, int] | None:
    if isinstance(part, AnsweredRows):
        return (part.model, part.version), len(part)
    return ((part.model, part.version or 0), 1) if part.outcome == "answered" else None


def _by_version(parts: Iterable[Part]) -> Tally[Version]:
    found: Tally[Version] = Tally()
    for version, count in filter(None, map(_answered, parts)):
        found[version] += count
    return found


def _others(parts: Iterable[Part]) -> int:
    return sum(_answered(part) is None for part in parts)
