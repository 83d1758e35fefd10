"""Puts together what was seen of a model: requests, events, the prediction log, and what the monitor counted."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from records import Filed, Logged
from world import World

from chaos.checker import History
from chaos.load import Load
from shipway.client import ShipwayError
from shipway.contract.envelope import Envelope

WRONG = timedelta(minutes=15)
DROPPED = "shipway_predictions_dropped_total"


@dataclass
class Seen:
    """What the world's recorder heard of one model, read on as it grows: each event and each batch once."""

    world: World
    model: str
    _events: dict[tuple[str, str], Envelope] = field(default_factory=dict)
    _events_read: int = 0

    def __post_init__(self) -> None:
        self._logged = Logged(self.world.recorder.records, self.model)
        self._filed = Filed(self.world.store, self.model)

    def events(self) -> list[Envelope]:
        """The model's events, each once, in the order of their first appearance."""
        heard = self.world.recorder.envelopes()
        for event in heard[self._events_read :]:
            name = event.source, event.id
            if getattr(event.payload, "model", None) == self.model and name not in self._events:
                self._events[name] = _timed(event)
        self._events_read = len(heard)
        return list(self._events.values())

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
        return History(
            requests=list(load.requests),
            events=self.events(),
            logged=self._logged.read(),
            filed=self._filed.read(),
            usage=usage,
            dropped=int(dropped),
            champion=champion,
        )


def _timed(event: Envelope) -> Envelope:
    """The event with a time that can be compared: one that was said by a clock set wrong gets that of its hearing."""
    now = datetime.now(UTC)
    return event if abs(event.time - now) < WRONG else replace(event, time=now)
