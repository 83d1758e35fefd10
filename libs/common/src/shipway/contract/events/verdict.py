"""What the evaluator found, gate by gate."""

from typing import Any, ClassVar

import msgspec

from shipway.contract.events.base import Event


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One test of a version: the figure, the limit that it was held against, and the outcome in words."""

    name: str
    passed: bool
    figure: float | None
    limit: float | None
    reason: str


class ModelApproved(Event, frozen=True, kw_only=True):
    """Every gate passed. Carries what the releaser needs, so that it reads nobody else's tables.

    ``hold`` says why the version waits for a person's approval; empty: it is released by itself. ``ndcg_at``: of a
    ranking, so many of the best rows of each query count; None of other models.
    """

    type: ClassVar[str] = "shipway.ModelApproved.v1"
    version: int
    digest: str
    request_id: str
    gates: list[Gate]
    metrics: dict[str, float]
    champion_version: int | None
    champion_metrics: dict[str, float]
    signature: dict[str, Any]
    release: dict[str, Any]
    prediction_log: dict[str, Any]
    hold: str = ""
    retirement: dict[str, Any] = msgspec.field(default_factory=dict)
    ndcg_at: int | None = None


class ModelRejected(Event, frozen=True, kw_only=True):
    """At least one gate failed; ``reason`` names it."""

    type: ClassVar[str] = "shipway.ModelRejected.v1"
    version: int
    digest: str
    request_id: str
    gates: list[Gate]
    metrics: dict[str, float]
    champion_version: int | None
    champion_metrics: dict[str, float]
    reason: str
