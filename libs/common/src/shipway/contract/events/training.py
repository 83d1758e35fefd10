"""A model declared, its trainings and searches, up to a version's bundle."""

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from shipway.contract.events.base import Event


class ModelDeclared(Event, frozen=True, kw_only=True):
    """A model's file was accepted by the client; ``spec`` is its content (see contract.spec)."""

    type: ClassVar[str] = "shipway.ModelDeclared.v1"
    spec: dict[str, Any]
    declared_by: str


class TrainingRequested(Event, frozen=True, kw_only=True):
    """Train a version of ``model`` on the data before ``until`` (none: all the data there is)."""

    type: ClassVar[str] = "shipway.TrainingRequested.v1"
    request_id: str
    until: datetime | None = None
    reason: str = "asked for"
    requested_by: str = "unknown"


def replacement_request(model: str, version: int) -> str:
    """The id of the training that is asked for in the place of a degraded champion which can't go back."""
    return f"replace-{model}-{version}"


class SearchRequested(Event, frozen=True, kw_only=True):
    """Look for better parameters of ``model`` on the data before ``until`` (none: all the data there is).

    ``trials``, ``time_limit_s`` and ``candidates``: none where the model file's section [search] holds.
    """

    type: ClassVar[str] = "shipway.SearchRequested.v1"
    request_id: str
    until: datetime | None = None
    trials: int | None = None
    time_limit_s: float | None = None
    candidates: int | None = None
    reason: str = "asked for"
    requested_by: str = "unknown"


class FoundParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters that a search found, and their figure on validation; ``request_id`` is the training that they get."""

    request_id: str
    params: dict[str, Any]
    figure: float


class SearchCompleted(Event, frozen=True, kw_only=True):
    """A search is over: so many trials, ``pruned`` of them ended early, and what is trained of what it found.

    ``baseline`` is the figure of the model file's own parameters, by ``metric``, on the same rows.
    """

    type: ClassVar[str] = "shipway.SearchCompleted.v1"
    request_id: str
    trials: int
    pruned: int
    metric: str
    baseline: float | None
    candidates: list[FoundParameters]
    duration_s: float


class TrainingAccepted(Event, frozen=True, kw_only=True):
    """The request is recorded in the trainer's database: it will not be lost any more."""

    type: ClassVar[str] = "shipway.TrainingAccepted.v1"
    request_id: str


class TrainingProgressed(Event, frozen=True, kw_only=True):
    """Where a training is. ``fraction`` is 0 to 1 of the whole job.

    ``outcome`` is empty while the stage runs; then "done", or "reused" where its inputs are those of an earlier run,
    whose output was taken; "late" where it runs for longer than its service level. ``seconds``: how long it ran.
    """

    type: ClassVar[str] = "shipway.TrainingProgressed.v1"
    request_id: str
    stage: str
    fraction: float
    message: str = ""
    outcome: str = ""
    seconds: float | None = None
    attempt: int = 1


class TrainingCompleted(Event, frozen=True, kw_only=True):
    """A version exists: its bundle is whole in the object store under ``digest``.

    ``origin`` is what made it: a ``training``, a parameter ``search``, or an ``import`` from elsewhere.
    ``data_source``: folder, objects or history.
    """

    type: ClassVar[str] = "shipway.TrainingCompleted.v1"
    request_id: str
    version: int
    digest: str
    bundle_bytes: int
    training_rows: int
    set_aside_rows: dict[str, int]
    train_from: datetime
    train_to: datetime
    holdout_from: datetime
    holdout_to: datetime
    metrics: dict[str, float]
    duration_s: float
    origin: str = "training"
    data_source: str = ""


class TrainingFailed(Event, frozen=True, kw_only=True):
    """A request ended without a version, and why."""

    type: ClassVar[str] = "shipway.TrainingFailed.v1"
    request_id: str
    stage: str
    reason: str
    attempts: int
