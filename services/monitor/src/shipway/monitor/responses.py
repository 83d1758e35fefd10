"""What the read API answers, as types, so that its OpenAPI document is true."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel


class Rollout(BaseModel):
    """The release in progress."""

    version: int
    state: str


class ModelOverview(BaseModel):
    """A model at a glance. ``traffic``: each answering version's share, 0 to 1."""

    name: str
    description: str
    champion: int | None
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


class Loss(BaseModel):
    """The mean loss, 0 to 1, and where it lies with 95 % confidence (null with fewer than 30 labels)."""

    mean: float
    low: float | None
    high: float | None


class Ripening(BaseModel):
    """Of ``predictions`` older than ``age_s``, ``labelled`` had their label by that age."""

    age_s: float
    predictions: int
    labelled: int
    share: float


class QualityOfDay(BaseModel):
    """Predictions of a UTC day, and how good those with a label were. ``coverage``: the share of them, 0 to 1."""

    day: date
    predictions: int
    labelled: int
    coverage: float | None
    loss: Loss | None
    metrics: dict[str, float]


class VersionQuality(BaseModel):
    """The same of a version's predictions together, how their labels ripened, and by day."""

    version: int
    predictions: int
    labelled: int
    coverage: float | None
    loss: Loss | None
    metrics: dict[str, float]
    maturity: list[Ripening]
    days: list[QualityOfDay]


class LabelCounts(BaseModel):
    """What became of a model's labels. ``waiting`` for their prediction; ``orphan``: it was not found in time;
    ``too_old``: it is older than labels are taken for; ``misfit``: none of the target's values.
    """

    received: int
    doubled: int
    conflicting: int
    late: int
    misfit: int
    misdirected: int
    orphan: int
    too_old: int
    waiting: int


class LabelFile(BaseModel):
    """The labels of a day's predictions in the object store, as labels/<model>/<day>.parquet."""

    day: date
    rows: int
    bytes: int
    written_at: datetime


class ModelQuality(BaseModel):
    """How good a model's versions are, by the labels of their predictions since then."""

    model: str
    since: datetime
    counts: LabelCounts
    versions: list[VersionQuality]
    files: list[LabelFile]


class PastState(BaseModel):
    """What a window before said."""

    at: datetime
    state: str
    figure: float | None


class Found(BaseModel):
    """The newest judgement of a kind (and of a subject: a feature, an answer). ``version`` 0: of the whole model.

    ``alarm``: it is unusual; for drift, in enough of the last windows. ``p``: of drift, by chance alone.
    """

    version: int
    kind: str
    subject: str
    begin: datetime
    end: datetime
    state: str
    alarm: bool
    figure: float | None
    limit: float | None
    p: float | None
    reason: str
    recent: list[PastState]


class ModelMonitoring(BaseModel):
    """What a model's windows say. ``watched_to``: up to where they are judged; ``late``: records that came after."""

    model: str
    watched_to: datetime | None
    late: int
    findings: list[Found]


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
