"""Models, versions, training requests and what was answered, as the read API shows them."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel


class Rollout(BaseModel):
    """The release in progress."""

    version: int
    state: str


class ModelOverview(BaseModel):
    """A model at a glance. ``traffic``: each answering version's share, 0 to 1.

    ``degraded``: the champion broke its service level, and nothing has taken its place yet.
    """

    name: str
    description: str
    champion: int | None
    degraded: bool
    last_good: int | None
    version_count: int
    release: Rollout | None
    traffic: dict[str, float]


class Models(BaseModel):
    """Every model."""

    models: list[ModelOverview]


class GateResult(BaseModel):
    """One test of a version."""

    name: str
    passed: bool
    figure: float | None
    limit: float | None
    reason: str


class Version(BaseModel):
    """A version: where it is in its life, how it did, and when. ``left_at``: since when it is champion no more."""

    version: int
    state: str
    digest: str | None
    request_id: str | None
    training_rows: int | None
    training_metrics: dict[str, float] | None
    metrics: dict[str, float] | None
    gates: list[GateResult] | None
    champion_version: int | None
    champion_metrics: dict[str, float] | None
    share: float | None
    reason: str | None
    changed_at: datetime | None
    promoted_at: datetime | None
    left_at: datetime | None
    last_used: datetime | None
    degraded_at: datetime | None
    retirement_asked_at: datetime | None


class Model(BaseModel):
    """A model with its newest declaration and its versions (the newest 1000), the oldest first."""

    name: str
    spec: dict[str, Any] | None
    champion: int | None
    last_good: int | None
    declared_at: datetime | None
    versions: list[Version]


class Counts(BaseModel):
    """How predictions ended; the latencies are of the answered ones."""

    answered: int = 0
    failed: int = 0
    refused: int = 0
    mean_latency_us: float | None = None
    max_latency_us: int | None = None


class Usage(BaseModel):
    """Counts by version ("0": none was chosen yet), and the number of labels."""

    versions: dict[str, Counts]
    labels: int


class HistoryFile(BaseModel):
    """A Parquet file in the object store, under ``key``. ``first_at`` and ``last_at``: its records' times."""

    day: date
    key: str
    rows: int
    bytes: int
    sha256: str
    first_at: datetime
    last_at: datetime
    created_at: datetime


class PredictionHistory(BaseModel):
    """The files of a model's predictions, the oldest first (the newest 10,000); ``waiting_rows`` are in none yet."""

    files: list[HistoryFile]
    waiting_rows: int


class TrainingRequest(BaseModel):
    """A training request and how far it is."""

    request_id: str
    model: str
    state: str
    stage: str | None
    fraction: float | None
    message: str | None
    reason: str | None
    version: int | None
    changed_at: datetime
