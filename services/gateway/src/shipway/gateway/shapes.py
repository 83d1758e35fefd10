"""What requests and answers look like, for the gateway's document and the routes that FastAPI answers."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from shipway.runtime.openapi import ProblemDocument


class PredictBody(BaseModel):
    """Rows of named features, or one row; or ``columns`` named once, and ``data``, a list of values a row."""

    model_config = ConfigDict(extra="forbid")

    rows: list[dict[str, Any]] | None = None
    row: dict[str, Any] | None = None
    columns: list[str] | None = None
    data: list[list[Any]] | None = None
    client_ids: list[str] | None = None
    explain: bool = False


class PredictionAnswer(BaseModel):
    """One row's answer: label and probability (binary), label and probabilities (multiclass), value (regression), or
    score and rank, 1 the best of the request's rows (ranking).

    With ``explain`` what each feature contributed to the raw score (for classes the log-odds), of several classes by
    class; together with ``base`` they add up to it.
    """

    id: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    score: float | None = None
    rank: int | None = None
    base: float | dict[str, float] | None = None
    contributions: dict[str, float] | dict[str, dict[str, float]] | None = None


class PredictAnswer(BaseModel):
    """The answers in the order of the rows. ``looked_up``: of how many rows each look-up table knew the entity."""

    model: str
    version: int
    predictions: list[PredictionAnswer]
    looked_up: dict[str, int] | None = None


class SeveralBody(PredictBody):
    """Rows for several models: ``models``, or a ``group`` that they declare. ``timeout_ms`` is each model's time."""

    models: list[str] | None = None
    group: str | None = None
    aggregate: Literal["all", "first", "mean", "vote"] = "all"
    require: Literal["all", "any"] | int = "all"
    timeout_ms: int | dict[str, int] | None = None
    later: bool = False


class OneOfSeveral(BaseModel):
    """One model's answer; of each row it takes the features that it knows. ``looked_up``: as if it were asked alone."""

    model: str
    version: int
    predictions: list[PredictionAnswer]
    looked_up: dict[str, int] | None = None


class FailedModel(BaseModel):
    """Why a model did not answer, by the status it alone would have been refused with."""

    model: str
    status: int
    detail: str


class CombinedPrediction(BaseModel):
    """A row's answer of all models together."""

    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    votes: dict[str, int] | None = None


class SeveralAnswer(BaseModel):
    """What several models say; ``predictions`` with mean and vote."""

    aggregate: str
    partial: bool
    answers: list[OneOfSeveral]
    failed: list[FailedModel]
    predictions: list[CombinedPrediction] | None = None


class Accepted(BaseModel):
    """A request that is answered later."""

    id: str
    status: Literal["pending"]
    result: str
    due_at: datetime


class Result(BaseModel):
    """The end of a request that was to be answered later."""

    id: str
    status: Literal["answered", "failed"]
    models: list[str]
    answer: SeveralAnswer | None = None
    problem: ProblemDocument | None = None
