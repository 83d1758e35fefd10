"""Puts together what was seen of a model: requests, events, the prediction log, and what the monitor counted."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from world import World

from chaos.checker import History
from chaos.load import Load
from shipway.client import ShipwayError
from shipway.contract.envelope import Envelope, text_headers
from shipway.contract.predictionlog import decode_batch
from shipway.contract.topics import PREDICTION_LOG

WRONG = timedelta(minutes=15)
DROPPED = "shipway_predictions_dropped_total"


@dataclass
class Seen:
    """What the world's recorder heard of one model, read on as it grows: each event and each batch once."""

    world: World
    model: str
    logged: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _events: dict[tuple[str, str], Envelope] = field(default_factory=dict)
    _batches: set[tuple[str, str]] = field(default_factory=set)
    _events_read: int = 0
    _records_read: int = 0

    def events(self) -> list[Envelope]:
        """The model's events, each once, in the order of their first appearance."""
        heard = self.world.recorder.envelopes()
        for event in heard[self._events_read :]:
            name = event.source, event.id
            if getattr(event.payload, "model", None) == self.model and name not in self._events:
                self._events[name] = _timed(event)
        self._events_read = len(heard)
        return list(self._events.values())

    def read_log(self) -> None:
        """Takes the predictions that are new in the log."""
        records = self.world.recorder.records
        for record in records[self._records_read :]:
            if record.topic == PREDICTION_LOG.name:
                headers = text_headers(record.headers)
                batch = headers.get("ce_source", ""), headers.get("ce_id", "")
                if batch not in self._batches:
                    self._batches.add(batch)
                    self._take(record.value)
        self._records_read = len(records)

    def _take(self, value: bytes | None) -> None:
        for row in decode_batch(value).select(["prediction_id", "model", "outcome", "instance"]).to_pylist():
            if row["model"] == self.model and row["outcome"] == "answered":
                self.logged[row["prediction_id"]].append(row["instance"])

    async def follow(self) -> None:
        """Reads on until cancelled, so that an event is taken soon after it was heard."""
        while True:
            self.events()
            await asyncio.sleep(0.2)

    async def history(self, load: Load, predictors: tuple[str, ...]) -> History:
        """What is known by now. Of a monitor that does not answer, nothing."""
        try:
            versions = (await self.world.shipway.usage(self.model))["versions"]
            champion = (await self.world.shipway.model(self.model))["champion"]
        except ShipwayError:
            versions, champion = {}, None
        usage = {int(version): counts["answered"] for version, counts in versions.items() if version.isdigit()}
        dropped = sum([await self.world.metric(name, DROPPED) for name in predictors])
        self.read_log()
        return History(list(load.requests), self.events(), dict(self.logged), usage, int(dropped), champion)


def _timed(event: Envelope) -> Envelope:
    """The event with a time that can be compared: one that was said by a clock set wrong gets that of its hearing."""
    now = datetime.now(UTC)
    return event if abs(event.time - now) < WRONG else replace(event, time=now)
