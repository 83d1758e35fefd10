"""What the dashboard's routes are given."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shipway.contract.events import GatewayPresence, Presence
from shipway.monitor.dashboard.door import Door
from shipway.monitor.dashboard.rendering import Pages
from shipway.monitor.dashboard.stream import Stream
from shipway.monitor.dashboard.trainerjobs import TrainerJobs
from shipway.runtime.database import Database
from shipway.runtime.guard import Guard
from shipway.runtime.objects import ObjectStore
from shipway.runtime.tableview import TableView


@dataclass(frozen=True)
class Parts:
    """The parts. ``key`` signs commands (empty: they go unsigned); ``wake`` tells the relay that something waits."""

    database: Database
    objects: ObjectStore
    presence: TableView[Presence]
    gateways: TableView[GatewayPresence]
    silent_after_s: float
    guard: Guard
    door: Door
    pages: Pages
    stream: Stream
    key: bytes
    commands: bool
    session: timedelta
    wake: Callable[[], None]
    trainer: TrainerJobs
