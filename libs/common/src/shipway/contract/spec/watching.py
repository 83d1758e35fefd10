"""Sections [prediction_log], [labels], [monitoring], [alerts]: what is kept, and judged by what."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from shipway.contract.spec.values import Duration, Section, Share, later


class PredictionLogSpec(Section):
    """What is kept of every prediction. All are counted, and logged with their scores."""

    # Left out where it is not said, as ``keep``; what it says goes into ``sample``, which older releases know.
    level: Literal["all", "sampled", "none"] | None = Field(
        default=None,
        exclude_if=lambda level: level is None,
        description="whose features are kept: of all predictions, of a sample, of none; default: as sample says",
    )
    sample: Share = Field(default=1.0, description="share of predictions whose features are kept (all are counted)")
    redact: list[str] = Field(default_factory=list, description="features never written to the log")
    # Left out where it is not said, so that a service of an older release reads what a newer one writes.
    keep: Duration | None = Field(
        default=None,
        ge=timedelta(days=1),
        exclude_if=lambda keep: keep is None,
        description="how long the Parquet history is kept, a day or more; default: for ever",
    )

    @model_validator(mode="before")
    @classmethod
    def _level(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("level") is None:
            return raw
        level, sample = raw["level"], raw.get("sample")
        if level == "sampled" and (sample is None or sample in (0, 1)):
            raise ValueError('sample: level = "sampled" needs a share between 0 and 1, such as 0.1')
        share = {"all": 1.0, "none": 0.0}.get(level, sample)
        if sample is not None and sample != share:
            raise ValueError(f'sample: {sample} does not go with level = "{level}"; remove one of them')
        return raw if share is None else {**raw, "sample": share}


class Labels(Section):
    """The true values that come after predictions."""

    wait: Duration = Field(
        default=timedelta(days=7),
        description="how long a label whose prediction is not found is kept for it, before it counts as an orphan",
    )
    mature_after: Duration = Field(
        default=timedelta(days=1), description="a label that comes later after its prediction counts as late"
    )
    within: Duration = Field(
        default=timedelta(days=90),
        ge=timedelta(hours=1),
        description="labels, and corrections of them, are taken for predictions so old at most",
    )


class Monitoring(Section):
    """What is normal of a model's predictions. Windows are of the time of the prediction, UTC."""

    window: Duration = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=1),
        le=timedelta(days=1),
        description="traffic, errors, latency, answers and gaps are judged over this, whole minutes",
    )
    lateness: Duration = Field(
        default=timedelta(minutes=2),
        description="a window is judged so long after its end; what reaches the log later is counted as late",
    )
    traffic_low: Share = Field(default=0.2, description="less than this share of the usual traffic is too little")
    traffic_high: float = Field(default=5.0, ge=1, description="more than so many times the usual traffic is too much")
    traffic_min: int = Field(default=50, ge=1, description="a window usually with fewer requests is no evidence")
    rare_answer_factor: float = Field(
        default=3.0, ge=1, description="an answer is too frequent at so many times its share in the reference"
    )
    same_input_share: Share = Field(default=0.3, description="one input in more than this share is too often")
    gap_rise: Share = Field(
        default=0.05, description="missing and unseen values may exceed their share in the reference by this"
    )
    drift_window: Duration = Field(
        default=timedelta(days=1),
        le=timedelta(days=31),
        description="drift is judged over this, a multiple of window; a day, as hours differ by more than days",
    )
    drift_min_rows: int = Field(default=500, ge=50, description="fewer predictions in a window are no evidence")
    drift_effect: Share = Field(
        default=0.1, description="share of predictions that must lie elsewhere than in the reference"
    )
    drift_false_discoveries: float = Field(
        default=0.01, gt=0, le=0.5, description="share of columns found that may be found by chance"
    )
    drift_at_once: Share = later(
        0.25, description="share of predictions elsewhere at which one window is an alarm; 1: never one alone"
    )
    drift_at_least: int = Field(default=2, ge=1, le=30, description="windows of the last drift_of that must drift")
    drift_of: int = Field(default=3, ge=1, le=30, description="see drift_at_least")
    slices: list[str] | None = later(
        None,
        max_length=20,
        description="features by whose values predictions are watched apart; default: those of gates.slices",
    )
    combinations: list[list[str]] = later(
        [],
        max_length=5,
        description="features of which new combinations of values are watched for, day by day, such as"
        ' [["carrier", "origin", "dest"]]; default: none are',
    )
    quality_window: Duration = later(
        timedelta(days=7),
        ge=timedelta(days=1),
        le=timedelta(days=90),
        description="quality is judged over predictions of so long, once labels.mature_after is over",
    )
    quality_drop: float = later(
        0.1, gt=0, lt=1, description="how much worse than on the holdout, in shares of the figure there, is too much"
    )
    min_labels: int = later(
        200, ge=30, description="fewer labelled predictions, or queries, are no evidence of quality"
    )
    max_calibration_error: float = later(
        0.1, gt=0, lt=1, description="mean gap between predicted and observed that is too much; see also gates"
    )
    on_quality: Literal["alert", "degrade"] = later(
        "alert", description="a champion that is too bad by its labels: alert tells it, degrade also replaces it"
    )

    @model_validator(mode="after")
    def _windows_fit(self) -> "Monitoring":
        if self.window % timedelta(minutes=1):
            raise ValueError("window: must be whole minutes")
        if not self.drift_window or self.drift_window % self.window:
            raise ValueError("drift_window: must be a multiple of window")
        if self.drift_at_least > self.drift_of:
            raise ValueError("drift_at_least: must not be more than drift_of")
        return self


AlertKind = Literal[
    "traffic",
    "errors",
    "latency",
    "rare_answer",
    "same_input",
    "missing_values",
    "unseen_values",
    "drift",
    "quality",
    "part_quality",
    "calibration",
    "estimated_quality",
    "missing_labels",
    "label_drift",
    "new_combinations",
    "retraining",
    "overdue",
    "fast_burn",
    "slow_burn",
    "budget_spent",
    "failed_training",
    "rejected_version",
    "rolled_back",
    "degraded_champion",
    "deferred_retirement",
    "dead_letters",
    "restarts",
]


class Alerts(Section):
    """When people are told that something is unusual (see Monitoring)."""

    severity: dict[AlertKind, Literal["critical", "warning", "none"]] = Field(
        default_factory=dict,
        description="how severe a kind is, or none; default: as docs/playbook.md says",
    )
    end_after: int = Field(default=2, ge=1, le=100, description="windows without it that end an alert")
    update_factor: float = Field(
        default=1.5, gt=1, description="an open alert is told again when its figure has changed by this factor"
    )
