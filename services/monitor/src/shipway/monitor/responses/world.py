"""Events and instances, as the read API shows them, and everything at a glance."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from shipway.monitor.responses.models import ModelOverview


class RecordedEvent(BaseModel):
    """An event of the history. ``id`` is what ``after`` takes."""

    id: int
    event_id: str
    source: str
    type: str
    model: str | None
    version: int | None
    at: datetime
    trace_id: str | None
    payload: dict[str, Any]


class History(BaseModel):
    """Events, oldest first; ``cursor`` goes into the next call's ``after``."""

    events: list[RecordedEvent]
    cursor: int


class Held(BaseModel):
    """A version on an instance."""

    model: str
    version: int
    state: str
    reason: str
    answered: int


class Instance(BaseModel):
    """What an instance said of itself, ``age_s`` seconds ago; the counts are of predictions since its start."""

    instance: str
    url: str
    age_s: float
    present: bool
    answered: int
    logged: int
    dropped: int
    versions: list[Held]


class Instances(BaseModel):
    """Every instance that did not say goodbye."""

    instances: list[Instance]


class Status(BaseModel):
    """Models and instances at a glance."""

    models: list[ModelOverview]
    instances: list[Instance]
