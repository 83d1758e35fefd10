"""The way of prediction records to the log: a bounded buffer in memory, sent in batches, and counted.

``answered = logged + dropped + waiting`` holds at every moment for answered records, and ``waiting`` is 0 after
``close``. Putting a record never waits, and never fails: serving does not depend on the log.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice

from prometheus_client import Counter, Gauge

from shipway.contract.envelope import WireMessage
from shipway.contract.errors import Permanent, Transient
from shipway.contract.predictionlog import PredictionRecord, encode_batch
from shipway.runtime import log
from shipway.runtime.waiting import happens

_log = log.get(__name__)
Send = Callable[[WireMessage], Awaitable[None]]

ANSWERED = Counter("shipway_predictions_answered_total", "Predictions answered.", ["model", "version"])
LOGGED = Counter("shipway_predictions_logged_total", "Answered predictions that the log has.", ["model", "version"])
DROPPED = Counter("shipway_predictions_dropped_total", "Answered predictions that the log lacks.", ["model", "version"])
REFUSALS = Counter(
    "shipway_refusals_logged_total", "Refused or failed requests, by whether the log has them.", ["kept"]
)
WAITING = Gauge("shipway_prediction_log_waiting", "Records that wait to be logged.")


def totals() -> dict[str, int]:
    """What this process has answered, logged and dropped, over all models."""
    counted = {"answered": ANSWERED, "logged": LOGGED, "dropped": DROPPED}
    return {
        name: int(sum(s.value for family in counter.collect() for s in family.samples if s.name.endswith("_total")))
        for name, counter in counted.items()
    }


class PredictionSink:
    """Buffers records and sends them by ``send``, at least every ``every_s`` and in batches of ``batch_rows``.

    When ``capacity`` records wait (the broker is away), the oldest are dropped and counted.
    """

    def __init__(
        self,
        send: Send,
        *,
        source: str,
        instance: str,
        capacity: int = 200_000,
        batch_rows: int = 2_000,
        every_s: float = 0.25,
    ) -> None:
        self._send = send
        self._source = source
        self._instance = instance
        self._capacity = capacity
        self._batch_rows = batch_rows
        self._every_s = every_s
        self._waiting: deque[PredictionRecord] = deque()
        self._in_hand: tuple[WireMessage, int] | None = None
        self._full = asyncio.Event()

    def put(self, record: PredictionRecord) -> None:
        """Takes a record; an answered one is counted as such here."""
        if record.outcome == "answered":
            self.put_answered([record])
        else:
            self._take([record])

    def put_answered(self, records: list[PredictionRecord]) -> None:
        """Takes answered records, all of one version."""
        ANSWERED.labels(records[0].model, records[0].version).inc(len(records))
        self._take(records)

    def _take(self, records: list[PredictionRecord]) -> None:
        self._waiting.extend(records)
        # The batch on its way is not dropped: the broker may have it already.
        held = self._in_hand[1] if self._in_hand else 0
        while len(self._waiting) > max(self._capacity, held):
            self._count(DROPPED, "dropped", [self._waiting[held]])
            del self._waiting[held]
        if len(self._waiting) >= self._batch_rows:
            self._full.set()

    async def run(self) -> None:
        """Sends for ever; while the broker is away the records wait."""
        while True:
            await happens(self._full, self._every_s)
            self._full.clear()
            try:
                await self._send_batch()
                # What came meanwhile waits for its turn: many small batches cost their reader the most.
                while len(self._waiting) >= self._batch_rows:
                    await self._send_batch()
            except Transient as err:
                _log.warning("prediction log waits", reason=str(err), waiting=len(self._waiting))
            WAITING.set(len(self._waiting))

    async def close(self, within_s: float = 5.0) -> None:
        """Sends what waits; what is not taken in that time is dropped and counted. Call it after ``run`` ended."""
        try:
            async with asyncio.timeout(within_s):
                while self._waiting:
                    try:
                        await self._send_batch()
                    except Transient:
                        await asyncio.sleep(0.1)
        except TimeoutError:
            _log.error("prediction records dropped at the stop", dropped=len(self._waiting))
            self._count(DROPPED, "dropped", list(self._waiting))
            self._waiting.clear()
        WAITING.set(0)

    async def _send_batch(self) -> None:
        """Sends the oldest records. A batch that was tried before is sent as it was: its id makes it count once."""
        if not self._waiting:
            return
        if self._in_hand is None:
            records = list(islice(self._waiting, self._batch_rows))
            self._in_hand = encode_batch(records, self._source, self._instance), len(records)
        message, rows = self._in_hand
        counter, kept = LOGGED, "logged"
        try:
            await self._send(message)
        except Permanent as err:
            _log.error("prediction batch refused", reason=str(err), rows=rows)
            counter, kept = DROPPED, "dropped"
        self._in_hand = None
        self._count(counter, kept, [self._waiting.popleft() for _ in range(rows)])

    def _count(self, counter: Counter, kept: str, records: list[PredictionRecord]) -> None:
        for record in records:
            if record.outcome == "answered":
                counter.labels(record.model, record.version).inc()
            else:
                REFUSALS.labels(kept).inc()
