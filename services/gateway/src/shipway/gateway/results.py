"""Results of requests that are answered later, as every gateway knows them: the last of the results topic, in memory.

Bounded in number, bytes and age; the oldest go first. What is asked for right after it was accepted elsewhere is waited
for a moment, since the topic takes one to come round.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from shipway.contract.events import PredictionResult
from shipway.contract.topics import RESULTS
from shipway.gateway.settings import LaterSettings
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.tableview import TableView
from shipway.runtime.waiting import happens

# The topic is silent whenever nobody asks for anything later.
_SILENCE_S = 600.0
_ROUND_S = 1.0
_WAITING = 200


class Results:
    """The results that are known here."""

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: LaterSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keep = timedelta(seconds=settings.keep_s)
        self._most = settings.keep_results
        self._most_bytes = settings.keep_mb * 1_000_000
        self._clock = clock
        self._sizes: dict[str, int] = {}  # in the order in which they came
        self._bytes = 0
        self._changed = asyncio.Event()
        self._waiting = 0
        self.view = TableView(
            kafka, RESULTS, PredictionResult, accept=self._news, on_change=self._kept, silence_s=_SILENCE_S
        )

    def take(self, result: PredictionResult) -> None:
        """Takes a result of our own, before it has come round."""
        if self._news(result.result_id, result, self.view.values.get(result.result_id)):
            self.view.values[result.result_id] = result
            self._kept(result.result_id)

    async def find(self, result_id: str) -> PredictionResult | None:
        """The result by its id; None where there is none, or none any more."""
        until = time.monotonic() + _ROUND_S
        while (found := self.view.values.get(result_id)) is None and self._waiting < _WAITING:
            self._waiting += 1
            try:
                if not await happens(self._changed, until - time.monotonic()):
                    break
            finally:
                self._waiting -= 1
        return found if found is not None and not self._is_over(found) else None

    def is_lost(self, result: PredictionResult) -> bool:
        """Whether the gateway that took it must have ended before it was answered."""
        return result.state == "pending" and self._clock() > result.due_at

    def _news(self, key: str, new: PredictionResult, old: PredictionResult | None) -> bool:
        return key == new.result_id and (old is None or old.state == "pending") and not self._is_over(new)

    def _is_over(self, result: PredictionResult) -> bool:
        return self._clock() > result.due_at + self._keep

    def _kept(self, key: str) -> None:
        values = self.view.values
        result = values.get(key)
        self._bytes -= self._sizes.pop(key, 0)
        if result is not None:
            self._sizes[key] = size = len(msgspec.json.encode(result))
            self._bytes += size
        while self._sizes and (
            len(self._sizes) > self._most
            or self._bytes > self._most_bytes
            or self._is_over(values[next(iter(self._sizes))])
        ):
            oldest = next(iter(self._sizes))
            self._bytes -= self._sizes.pop(oldest)
            del values[oldest]
            self.view.envelopes.pop(oldest, None)
        self._changed.set()
        self._changed = asyncio.Event()
