"""What predictions are answered with, and what was true in the end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """One row's answer. ``label`` and ``probability`` (binary) or ``probabilities`` (multiclass), or ``value``.

    Of a ranking the raw ``score``, and the ``rank`` among the rows that were asked together, 1 the best.
    """

    id: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    score: float | None = None
    rank: int | None = None
    base: float | dict[str, float] | None = None
    contributions: dict[str, Any] | None = None


@dataclass(frozen=True)
class KnownLabel:
    """A prediction's true label, for ``feedback_many``; ``observed_at``: when it became known, by default now."""

    prediction_id: str
    label: str | float | bool
    observed_at: datetime | None = None


@dataclass(frozen=True)
class Predictions:
    """The answers, in the order of the rows, and the version that gave them.

    ``looked_up``: of how many rows each look-up table knew the entity, where the version looks features up.
    """

    model: str
    version: int
    predictions: list[Prediction]
    looked_up: dict[str, int] | None = None
