"""Section [retraining]: what the monitor finds that asks for a training by itself, and how often at most."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from shipway.contract.spec.values import Duration, Section

Trigger = Literal[
    "drift",
    "score_drift",
    "quality",
    "calibration",
    "estimated_quality",
    "missing_values",
    "unseen_values",
    "rare_answer",
]


class Retraining(Section):
    """Off unless ``on`` says otherwise: a broken source drifts too, and is not to be learnt from unseen."""

    on: list[Trigger] = Field(
        default=[],
        max_length=8,
        description="alerts of the champion that ask for a training; drift is that of a feature; default: none does",
    )
    cool_down: Duration = Field(
        default=timedelta(days=1),
        ge=timedelta(minutes=1),
        description="none is asked for so long after the last, or after a version became the champion",
    )
    budget: int = Field(default=3, ge=1, le=100, description="so many at most are asked for in budget_period")
    budget_period: Duration = Field(default=timedelta(days=7), ge=timedelta(minutes=1), description="see budget")
    give_up_after: int = Field(
        default=3,
        ge=1,
        le=20,
        description="so many in a row that gave no champion end it, with an alert, until there is another champion",
    )
