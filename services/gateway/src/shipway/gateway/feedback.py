"""``POST /feedback``: the true labels of predictions, one or many, onto Kafka."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shipway.contract.errors import Transient
from shipway.contract.events import FeedbackReceived, Label, LabelsReceived
from shipway.runtime.http import Problem
from shipway.runtime.kafka import Producer
from shipway.runtime.openapi import problems

# No consumer can keep a NUL: better refused here than a dead letter there.
_TEXT = r"^[^\x00]*$"
_Id = Annotated[str, Field(min_length=1, max_length=64, pattern=_TEXT)]
_Value = Annotated[str, Field(max_length=1000, pattern=_TEXT)] | Annotated[float, Field(allow_inf_nan=False)] | bool
MAX_LABELS = 10_000
# An event takes a megabyte at most; a character of a label is six bytes at most in JSON.
EVENT_LABELS, EVENT_CHARACTERS = 1000, 100_000


class OneLabel(BaseModel):
    """A prediction's true label; ``observed_at``: when it became known, by default now."""

    model_config = ConfigDict(extra="forbid")

    prediction_id: _Id
    label: _Value
    observed_at: datetime | None = None


class Feedback(BaseModel):
    """The true label of a prediction of ``model``, or ``labels`` of many."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z][a-z0-9-]*$")]
    prediction_id: _Id | None = None
    label: _Value | None = None
    observed_at: datetime | None = None
    labels: Annotated[list[OneLabel], Field(min_length=1, max_length=MAX_LABELS)] | None = None

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        alone = (self.prediction_id, self.label)
        if self.labels is not None and (alone != (None, None) or self.observed_at is not None):
            raise ValueError("give prediction_id and label, or labels, not both")
        if self.labels is None and None in alone:
            raise ValueError("prediction_id and label are required, or labels with several")
        return self

    def every(self, now: datetime) -> list[Label]:
        """The labels, one or many."""
        if self.labels is not None:
            return [_label(one.prediction_id, one.label, one.observed_at or now) for one in self.labels]
        assert self.prediction_id is not None and self.label is not None, "held by the validator"
        return [_label(self.prediction_id, self.label, self.observed_at or now)]


class FeedbackAnswer(BaseModel):
    """So many labels are on Kafka."""

    status: Literal["accepted"] = "accepted"
    labels: int = 1


def add_feedback(app: FastAPI, producer: Producer, source: str) -> None:
    """Adds the route."""

    @app.post(
        "/feedback",
        tags=["predictions"],
        status_code=202,
        summary="Tell the true labels of predictions",
        responses=problems(400, 413, 415, 422, 503),
    )
    async def feedback(body: Feedback) -> FeedbackAnswer:
        labels = body.every(datetime.now(UTC))
        try:
            for part in parts(labels):
                # One by itself goes as it always has, so that a monitor of the release before reads it.
                await producer.publish(source, _event(body.model, part, alone=body.labels is None))
        except Transient as err:
            # Some may be on Kafka already; a label that comes twice counts once.
            raise Problem(503, f"feedback can't be taken now: {err}", retry_after_s=2) from err
        return FeedbackAnswer(labels=len(labels))


def parts(labels: Sequence[Label]) -> Iterator[list[Label]]:
    """The labels in parts that each fit into an event."""
    part: list[Label] = []
    characters = 0
    for label in labels:
        size = len(label.prediction_id) + (len(label.label) if isinstance(label.label, str) else 0)
        if part and (len(part) == EVENT_LABELS or characters + size > EVENT_CHARACTERS):
            yield part
            part, characters = [], 0
        part.append(label)
        characters += size
    yield part


def _event(model: str, labels: list[Label], *, alone: bool) -> FeedbackReceived | LabelsReceived:
    if not alone:
        return LabelsReceived(model=model, labels=labels)
    (one,) = labels
    return FeedbackReceived(model=model, prediction_id=one.prediction_id, label=one.label, observed_at=one.observed_at)


def _label(prediction_id: str, label: str | float | bool, observed_at: datetime) -> Label:
    return Label(prediction_id=prediction_id, label=label, observed_at=observed_at)
