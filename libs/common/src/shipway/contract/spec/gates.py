"""Section [gates]: what a version must show."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from shipway.contract.spec.values import Duration, Section, Share, later


class Gates(Section):
    """What a version must show before it is released, on the holdout window.

    Where a default goes by the metric, ``evaluator.gates.limits`` has it.
    """

    metric: Literal["auc", "log_loss", "accuracy", "rmse", "mae", "ndcg"] | None = Field(
        default=None,
        description="what versions are compared by; default: auc, log_loss, rmse or ndcg by the target's kind",
    )
    ndcg_at: int = later(
        10, ge=1, le=10_000, description="of a ranking: so many of the best rows of each query count for ndcg"
    )
    floor: float | None = Field(default=None, description="the metric must be at least (a loss: at most) this")
    max_regression: float | None = later(
        None,
        ge=0,
        description="how much worse than the champion it may be, in the metric's unit; default: 0.01, for rmse and mae"
        " 2 % of the champion's",
    )
    comparison: Literal["non_inferior", "better"] = later(
        "non_inferior",
        description="non_inferior: shown to be worse by max_regression at most; better: shown to be better",
    )
    confidence: float = later(
        0.95, gt=0.5, lt=1, description="how sure each end of an interval is, where versions are compared"
    )
    min_holdout_rows: int = Field(default=100, ge=1, description="fewer holdout rows with a target reject it")
    max_bundle_mb: float = Field(default=200, gt=0, description="a larger bundle is rejected")
    slices: list[str] = later(
        [],
        max_length=20,
        description="columns that the holdout is cut by: categories by value, numbers into quarters; no slice may fall",
    )
    max_slice_regression: float | None = later(
        None,
        ge=0,
        description="how far a slice may fall below the champion's, beyond chance; default: 0.05, for rmse, mae 10 %",
    )
    min_slice_rows: int = later(200, ge=30, description="a slice with fewer labelled rows is reported, not judged")
    max_calibration_error: float | None = later(
        None,
        gt=0,
        description="mean gap between predicted and observed, in ten bins of equal size (for regression in standard"
        " deviations of the target); default: measured only",
    )
    max_latency_ms: float = later(
        50.0, gt=0, description="one row's prediction may take so long, at the 95th percentile, in the judging process"
    )
    max_overlap: Share = later(
        0.01,
        description="share of holdout rows that training saw too, beyond what its newest rows share with the others",
    )
    max_single_feature: Share = later(
        0.98,
        description="how much of the target one feature alone may tell (0: nothing, 1: all); more is a leak",
    )
    stability_runs: int = later(
        3, ge=0, le=50, description="quick trainings on resampled rows with other seeds; 0: stability is not judged"
    )
    stability_rows: int = later(20_000, ge=100, description="rows of each of them at most")
    stability_time: Duration = later(timedelta(seconds=60), description="processor time for all of them together")
    max_spread: float | None = later(
        None,
        gt=0,
        description="standard deviation of the metric over them at most; default: 0.03, for log_loss 0.05, for rmse and"
        " mae 10 % of their mean",
    )

    @model_validator(mode="after")
    def _enough_runs(self) -> "Gates":
        if self.stability_runs == 1:
            raise ValueError("stability_runs: one run has no spread; set 2 or more, or 0")
        if len(set(self.slices)) != len(self.slices):
            raise ValueError("slices: name each column once")
        return self
