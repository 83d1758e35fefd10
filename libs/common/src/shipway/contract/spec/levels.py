"""Section [service_levels]: what each phase of a model's life may take, and what is done when it takes longer."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from shipway.contract.spec.values import Duration, Section, Share, later


class ServiceLevels(Section):
    """Targets, from the training request to retirement; the monitor measures against them.

    Each has an error budget: of ``budget_window``, what may miss its target.
    """

    max_error_share: Share = Field(default=0.05, description="a champion that fails more is degraded, and rolled back")
    error_window: Duration = Field(default=timedelta(minutes=1), description="the time over which errors are counted")
    min_requests: int = Field(default=50, ge=1, description="fewer requests in the window are no evidence")
    request_to_serving: Duration = Field(
        default=timedelta(hours=1), description="from the training request to the champion"
    )
    latency_p99: Duration | None = Field(
        default=None,
        exclude_if=lambda limit: limit is None,
        description="99 of 100 answers of a predictor come within this; default: no level",
    )
    accepted_within: Duration = later(timedelta(minutes=1), description="from the training request to its acceptance")
    trained_within: Duration | None = later(
        None, description="from the acceptance to the version; default: as request_to_serving"
    )
    judged_within: Duration = later(timedelta(minutes=15), description="from the version to its approval or rejection")
    released_within: Duration = later(
        timedelta(minutes=15), description="from the approval until it answers its first share of the traffic"
    )
    seen_within: Duration = later(
        timedelta(minutes=1), description="from the promotion until every instance and gateway goes by it"
    )
    retired_within: Duration = later(timedelta(hours=1), description="from retirement until no instance holds it")
    deferred_at_most: Duration = later(
        timedelta(days=7), description="a version that is to go, but is still needed, is alerted of after so long"
    )
    logged_within: Duration = later(
        timedelta(minutes=5), description="from a prediction until the monitor has counted it"
    )
    availability: float = later(0.99, gt=0, lt=1, description="share of requests that must not fail")
    in_time: float = later(
        0.95, gt=0, lt=1, description="share of each phase's trainings, versions and log records that must be in time"
    )
    budget_window: Duration = later(
        timedelta(days=30),
        ge=timedelta(days=1),
        le=timedelta(days=90),
        description="the time over which an error budget is counted, up to now",
    )
    budget_min_requests: int = later(
        1000, ge=1, description="with fewer requests in it the budgets of availability and latency are no evidence"
    )
    on_budget_spent: Literal["alert", "hold"] = later(
        "alert",
        description="no budget of availability or latency is left: alert tells it, hold also keeps releases from going"
        " on until there is some again, or a person resumes them",
    )
    on_overdue: Literal["alert", "retry"] = later(
        "alert",
        description="a request that is not accepted in time, or failed: alert tells it, retry also asks once more",
    )
