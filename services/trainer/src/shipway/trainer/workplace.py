"""What runs of stages need: the service's parts, its settings, and what wakes or stops them."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from shipway.runtime.objects import ObjectStore
from shipway.runtime.parts import Parts
from shipway.runtime.settings import DataSettings, ObjectsSettings
from shipway.trainer.barrier import Barrier
from shipway.trainer.settings import WorkerSettings

CHILD = "shipway.trainer.child"


@dataclass(frozen=True)
class Workplace:
    """What runs need: the service's parts, and two signals. ``look``: there may be a reason to cancel."""

    parts: Parts
    settings: WorkerSettings
    store: ObjectStore
    objects: ObjectsSettings
    data: DataSettings
    barrier: Barrier
    child: str = CHILD
    look: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease(self) -> timedelta:
        """How long a stage is held without a sign of life."""
        return timedelta(seconds=self.settings.lease_s)
