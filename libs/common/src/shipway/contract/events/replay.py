"""A version asked again what others were asked: by whom, and how far its answers lie apart from theirs."""

from datetime import datetime
from typing import ClassVar

import msgspec

from shipway.contract.events.base import Event


class ReplayRequested(Event, frozen=True, kw_only=True):
    """An operator's command: score logged predictions with this version, the newest ``limit`` of ``start <= at < end``,
    and say how far its answers differ. Nothing that is served changes.
    """

    type: ClassVar[str] = "shipway.ReplayRequested.v1"
    command_id: str
    version: int
    start: datetime
    end: datetime
    limit: int = 10_000
    reason: str = ""
    requested_by: str = "unknown"


class ScoreDifferences(msgspec.Struct, frozen=True, kw_only=True):
    """How far scores lie apart: ``mean`` with sign, of the last output; the others of each row's largest move."""

    mean: float
    mean_absolute: float
    p95_absolute: float
    max_absolute: float


class ReplayedQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of both sides on the ``labelled`` predictions, by name; none where no label is known."""

    labelled: int
    logged: dict[str, float]
    replayed: dict[str, float]


class ReplayedLatency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of an answer (p50, p95, p99): as it was given by an instance, and of a row scored again, alone."""

    logged: dict[str, float] | None
    replayed: dict[str, float] | None


class DecisionMove(msgspec.Struct, frozen=True, kw_only=True):
    """So many rows that were of one class and are of another now."""

    from_class: str = msgspec.field(name="from")
    to_class: str = msgspec.field(name="to")
    rows: int


class ReplayedDecisions(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows are of another class than they were, and from what to what, the most frequent first."""

    changed: int
    share: float
    moves: list[DecisionMove]


class ReplayCompleted(Event, frozen=True, kw_only=True):
    """What a version says to ``rows`` logged predictions of ``first_at`` to ``last_at``, beside what was answered.

    ``answered_by``: how many were answered by which version; ``left_out``: how many could not be asked again, by why.
    ``decisions``: of a model that tells classes apart. ``reason`` is the request's.
    """

    type: ClassVar[str] = "shipway.ReplayCompleted.v1"
    command_id: str
    version: int
    digest: str
    rows: int
    first_at: datetime
    last_at: datetime
    answered_by: dict[str, int]
    left_out: dict[str, int]
    scores: ScoreDifferences
    quality: ReplayedQuality
    latency_ms: ReplayedLatency
    decisions: ReplayedDecisions | None = None
    reason: str = ""
    requested_by: str = "unknown"


class ReplayFailed(Event, frozen=True, kw_only=True):
    """A replay ended without a comparison, or was not begun, and why."""

    type: ClassVar[str] = "shipway.ReplayFailed.v1"
    command_id: str
    version: int
    reason: str
    requested_by: str = "unknown"
