"""Labels, and what the monitor makes of predictions."""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from shipway.contract.events.base import Event


class FeedbackReceived(Event, frozen=True, kw_only=True):
    """The true label of a prediction, as the client learnt it."""

    type: ClassVar[str] = "shipway.FeedbackReceived.v1"
    prediction_id: str
    label: str | float | bool
    observed_at: datetime


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction's true label, and when that became known."""

    prediction_id: str
    label: str | float | bool
    observed_at: datetime


class LabelsReceived(Event, frozen=True, kw_only=True):
    """The true labels of many predictions; says what as many FeedbackReceived would."""

    type: ClassVar[str] = "shipway.LabelsReceived.v1"
    labels: list[Label]


class QualityMeasured(Event, frozen=True, kw_only=True):
    """How good a version's answers were, by the labels known so far. All counts and sums are since its first answer.

    ``labelled`` of its ``predictions`` answered have a label. The loss of each is 0 to 1: the Brier score of a binary
    target, (p - y)**2, or half of it for several classes; for regression the absolute error over the model's scale,
    at most 1. Of a ranking ``labelled`` are queries whose rows all have a label and differ in it, and the loss is a
    query's, 1 - NDCG of its best ``ndcg_at`` rows: losses of another number are of another exam. The labelled ones were
    predicted within ``window_from`` to ``window_to``.
    """

    type: ClassVar[str] = "shipway.QualityMeasured.v1"
    version: int
    labelled: int
    loss_sum: float
    loss_square_sum: float
    predictions: int
    window_from: datetime
    window_to: datetime
    measured_at: datetime
    ndcg_at: int | None = None


class AlertChanged(Event, frozen=True, kw_only=True):
    """Something unusual of a model, or of a ``version`` of it, has begun, has changed much, or is over.

    ``kind`` and ``subject`` say what: such as drift of a feature. ``page``: where the playbook says what to do.
    """

    type: ClassVar[str] = "shipway.AlertChanged.v1"
    version: int | None
    alert_id: str
    kind: str
    subject: str
    state: Literal["raised", "updated", "ended"]
    severity: Literal["critical", "warning"]
    figure: float | None
    limit: float | None
    reason: str
    page: str
    raised_at: datetime
    changed_at: datetime


class BudgetChanged(Event, frozen=True, kw_only=True):
    """The error budget of a model's service ``level`` (availability, latency) is spent, or there is some again.

    ``left``: the share of it that is left, 0 to 1, less than 0 where more was spent than there is. ``hold_releases``:
    the model file wants no release to go on meanwhile.
    """

    type: ClassVar[str] = "shipway.BudgetChanged.v1"
    level: str
    state: Literal["spent", "back"]
    left: float
    hold_releases: bool
    reason: str
    changed_at: datetime
