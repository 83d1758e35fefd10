"""The model file: one TOML file that says everything about a model. Every wrong field is named, with the remedy."""

import difflib
import re
import tomllib
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from shipway.contract.errors import InvalidField, Permanent

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
MAX_MODEL_FILE_BYTES = 1_000_000


def parse_duration(text: object) -> timedelta:
    """A duration such as ``"90d"``, ``"1.5h"`` or ``"250ms"``.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or float(match[1]) * _UNITS[match[2]] > 36525 * 86400:
        raise ValueError('must be a duration of at most a century such as "90d", "12h", "30m", "10s" or "250ms"')
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def format_duration(duration: timedelta) -> str:
    """The shortest text that parse_duration reads back."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Data(_Section):
    """Where the rows are, and which of them a training and its judgement see.

    A training request ``until`` T trains on ``[T - holdout - gap - train, T - holdout - gap)`` and is judged on
    ``[T - holdout, T)``, which training never sees.
    """

    source: str = Field(
        min_length=1,
        max_length=1000,
        description='a Parquet folder ("folder:/data/x"), or a prefix in the object store ("objects:x/")',
    )
    time_column: str = Field(min_length=1, description="a timestamp or date column; rows are put in windows by it")
    id_column: str | None = Field(default=None, description="a column that names the row, for reports only")
    train: Duration = Field(description="length of the training window")
    holdout: Duration = Field(description="length of the holdout window, the newest part")
    gap: Duration = Field(default=timedelta(0), description="left out between the two, where labels ripen late")
    max_rows: int = Field(default=5_000_000, ge=100, le=100_000_000, description="more rows in a window are an error")


class Target(_Section):
    """The column to predict. Rows without it are set aside and counted."""

    column: str = Field(min_length=1, description="the column to predict")
    kind: Literal["binary", "multiclass", "regression"] = Field(description="binary, multiclass or regression")
    classes: list[str] | None = Field(
        default=None,
        min_length=2,
        max_length=1000,
        description="in the order of the output; default: as found, sorted",
    )


class FeatureSpec(_Section):
    """One input column."""

    type: Literal["number", "category", "boolean"] = Field(description="number, category or boolean")
    categories: list[str] | None = Field(
        default=None, min_length=1, description="known values; default: those in the training window"
    )
    nullable: bool = Field(default=True, description="null is allowed, and is a missing value")
    optional: bool = Field(default=False, description="a prediction may leave the field out")
    unseen: Literal["missing", "error"] = Field(default="missing", description="what an unknown category is")
    # Left out where they are not said, as prediction_log.keep is.
    min: float | None = Field(
        default=None,
        allow_inf_nan=False,
        exclude_if=lambda least: least is None,
        description="of a number: rows with less are not trained on",
    )
    max: float | None = Field(
        default=None,
        allow_inf_nan=False,
        exclude_if=lambda most: most is None,
        description="of a number: rows with more are not trained on",
    )

    @model_validator(mode="after")
    def _range_for_numbers(self) -> "FeatureSpec":
        if self.type != "number" and (self.min is not None or self.max is not None):
            raise ValueError('min: goes with max and type = "number"; remove them or change the type')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is more than max, {self.max:g}; exchange them")
        return self

    @model_validator(mode="after")
    def _categories_for_categories(self) -> "FeatureSpec":
        if self.categories is not None and self.type != "category":
            raise ValueError('categories: go with type = "category"; remove them or change the type')
        return self


_PARAMS: dict[str, tuple[type, ...]] = {
    "learning_rate": (float, int),
    "num_leaves": (int,),
    "max_depth": (int,),
    "min_data_in_leaf": (int,),
    "min_sum_hessian_in_leaf": (float, int),
    "feature_fraction": (float, int),
    "feature_fraction_bynode": (float, int),
    "bagging_fraction": (float, int),
    "bagging_freq": (int,),
    "lambda_l1": (float, int),
    "lambda_l2": (float, int),
    "min_gain_to_split": (float, int),
    "max_bin": (int,),
    "max_cat_threshold": (int,),
    "cat_l2": (float, int),
    "cat_smooth": (float, int),
    "max_cat_to_onehot": (int,),
    "scale_pos_weight": (float, int),
    "is_unbalance": (bool,),
    "extra_trees": (bool,),
    "path_smooth": (float, int),
    "boosting": (str,),
    "objective": (str,),
    "alpha": (float, int),
    "tweedie_variance_power": (float, int),
}
_OBJECTIVES = {
    "binary": {"binary", "cross_entropy"},
    "multiclass": {"multiclass", "multiclassova"},
    "regression": {
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "poisson",
        "quantile",
        "mape",
        "gamma",
        "tweedie",
    },
}


class Training(_Section):
    """How LightGBM is run, and its limits."""

    rounds: int = Field(default=300, ge=1, le=20_000, description="boosting rounds at most")
    early_stopping_rounds: int | None = Field(
        default=30,
        ge=1,
        description="stop after so many rounds without a better validation loss; needs validation > 0",
    )
    validation: Share = Field(
        default=0.15,
        lt=0.9,
        description="share of the training window, its newest rows, held out for early stopping",
    )
    seed: int = Field(
        default=1, ge=0, le=2**31 - 1, description="of everything random; the same seed and data give the same model"
    )
    min_rows: int = Field(default=100, ge=10, description="fewer rows with a target fail the training")
    time_limit: Duration = Field(default=timedelta(hours=1), description="a training that takes longer is ended")
    max_attempts: int = Field(default=3, ge=1, le=20, description="tries before the request fails")
    threads: int = Field(default=0, ge=0, le=256, description="0: as many as the machine has cores")
    params: dict[str, Any] = Field(default_factory=dict, description="LightGBM parameters")
    # Left out where it is not said, as prediction_log.keep is.
    requests: Literal["queue", "join"] = Field(
        default="queue",
        exclude_if=lambda requests: requests == "queue",
        description="requests that wait for the same data: each is trained, or all by one job, that of the last",
    )

    @model_validator(mode="after")
    def _known_params(self) -> "Training":
        for name, value in self.params.items():
            allowed = _PARAMS.get(name)
            if allowed is None:
                close = difflib.get_close_matches(name, _PARAMS, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"allowed are {', '.join(sorted(_PARAMS))}"
                raise ValueError(f"params.{name}: is not an allowed LightGBM parameter; {hint}")
            if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
                raise ValueError(f"params.{name}: must be {allowed[0].__name__}, not {value!r}")
        return self


class Checks(_Section):
    """What data must be like to be trained on; data that is not fails the training, with the field and the remedy."""

    max_alone: Share = Field(
        default=0.99, description="a feature that alone predicts the target better (1: perfectly) is taken for a leak"
    )
    max_missing: Share = Field(default=0.99, description="a feature may be missing in such a share of the rows")
    min_label_share: Share = Field(default=0.0001, description="each class is the label of such a share of the rows")
    max_set_aside: Share = Field(default=0.9, description="such a share of the rows may be set aside")
    duplicates: Literal["set_aside", "keep"] = Field(
        default="set_aside", description="of rows with the same data.id_column: only the newest is trained on, or all"
    )


StageName = Literal["get-data", "clean", "preprocess", "train", "evaluate", "build", "record"]
STAGES: tuple[StageName, ...] = get_args(StageName)


class Schedule(_Section):
    """When trainings are asked for without anybody asking: on the data that there is at that time."""

    cron: str = Field(max_length=200, description='minute, hour, day, month and weekday, such as "30 2 * * 1-5"')
    timezone: str = Field(default="UTC", max_length=100, description='where that is the time, such as "Europe/Berlin"')
    missed: Literal["run_once", "skip"] = Field(
        default="run_once", description="times that passed while no trainer ran: one training for all of them, or none"
    )
    overlap: Literal["skip", "queue"] = Field(
        default="skip",
        description="a time that comes while a job of the model is not over: left out, or put in line",
    )

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError('must be five fields, minute, hour, day, month and weekday, such as "30 2 * * *"')
        try:
            CronSim(cron, datetime(2026, 1, 1))
        except CronSimError as err:
            raise ValueError(f'is no cron expression: {err}; give one such as "30 2 * * *"') from err
        return cron

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as err:
            raise ValueError(f"{name!r} is not a time zone; give one such as Europe/Berlin, or UTC") from err
        return name


class StagePolicy(_Section):
    """How one stage of a training is run. What a model file leaves out comes from its section [training]."""

    time_limit: Duration | None = Field(
        default=None, description="a stage that takes longer is ended, and with it the training; default: training's"
    )
    max_attempts: int | None = Field(
        default=None, ge=1, le=20, description="tries before the training fails; default: training's"
    )
    retry_pause: Duration = Field(
        default=timedelta(seconds=2),
        description="rest before the second try, doubled before each other, 10m at most",
    )
    service_level: Duration | None = Field(
        default=None, description="how long it should take at most; default: half of its time limit"
    )
    on_late: Literal["alert", "retry"] = Field(
        default="alert",
        description="over its service level: alert tells it, retry ends the try while others are left",
    )


def _later(default: Any, **said: Any) -> Any:
    """A field of a later release: left out where it is not said, so that a service of an older one reads the spec."""
    return Field(default=default, exclude_if=lambda value: value == default, **said)


class Gates(_Section):
    """What a version must show before it is released, on the holdout window.

    Where a default goes by the metric, ``evaluator.gates.limits`` has it.
    """

    metric: Literal["auc", "log_loss", "accuracy", "rmse", "mae"] | None = Field(
        default=None,
        description="what versions are compared by; default: auc, log_loss or rmse by the target's kind",
    )
    floor: float | None = Field(default=None, description="the metric must be at least (a loss: at most) this")
    max_regression: float | None = _later(
        None,
        ge=0,
        description="how much worse than the champion it may be, in the metric's unit; default: 0.01, for rmse and mae"
        " 2 % of the champion's",
    )
    comparison: Literal["non_inferior", "better"] = _later(
        "non_inferior",
        description="non_inferior: shown to be worse by max_regression at most; better: shown to be better",
    )
    confidence: float = _later(
        0.95, gt=0.5, lt=1, description="how sure each end of an interval is, where versions are compared"
    )
    min_holdout_rows: int = Field(default=100, ge=1, description="fewer holdout rows with a target reject it")
    max_bundle_mb: float = Field(default=200, gt=0, description="a larger bundle is rejected")
    slices: list[str] = _later(
        [],
        max_length=20,
        description="columns that the holdout is cut by: categories by value, numbers into quarters; no slice may fall",
    )
    max_slice_regression: float | None = _later(
        None,
        ge=0,
        description="how far a slice may fall below the champion's, beyond chance; default: 0.05, for rmse, mae 10 %",
    )
    min_slice_rows: int = _later(200, ge=30, description="a slice with fewer labelled rows is reported, not judged")
    max_calibration_error: float | None = _later(
        None,
        gt=0,
        description="mean gap between predicted and observed, in ten bins of equal size (for regression in standard"
        " deviations of the target); default: measured only",
    )
    max_latency_ms: float = _later(
        50.0, gt=0, description="one row's prediction may take so long, at the 95th percentile, in the judging process"
    )
    max_overlap: Share = _later(
        0.01,
        description="share of holdout rows that training saw too, beyond what its newest rows share with the others",
    )
    max_single_feature: Share = _later(
        0.98,
        description="how much of the target one feature alone may tell (0: nothing, 1: all); more is a leak",
    )
    stability_runs: int = _later(
        3, ge=0, le=50, description="quick trainings on resampled rows with other seeds; 0: stability is not judged"
    )
    stability_rows: int = _later(20_000, ge=100, description="rows of each of them at most")
    stability_time: Duration = _later(timedelta(seconds=60), description="processor time for all of them together")
    max_spread: float | None = _later(
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


class Release(_Section):
    """How a version takes over."""

    min_instances: int = Field(
        default=1, ge=1, le=1000, description="instances that must hold it, checked, before it takes traffic"
    )
    canary: list[Share] = Field(
        default=[0.1, 0.5], max_length=20, description="shares of traffic, step by step; empty: all at once"
    )
    step: Duration = Field(default=timedelta(seconds=60), description="how long each canary step lasts")
    min_requests: int = Field(default=20, ge=0, description="answers needed in a step to judge it")
    max_error_share: Share = Field(default=0.01, description="more errors than this in a step roll it back")
    loading_deadline: Duration = Field(default=timedelta(minutes=5), description="not ready by then: rolled back")
    step_deadline: Duration = Field(
        default=timedelta(minutes=30), description="too few answers by then: on_insufficient decides"
    )
    on_insufficient: Literal["promote", "roll_back"] = Field(
        default="promote", description="what too little traffic to judge by ends in"
    )
    # Those below are left out where they are not said, so that a service of an older release reads what a newer one
    # writes.
    approval: Literal["auto", "manual"] = Field(
        default="auto",
        exclude_if=lambda approval: approval == "auto",
        description="manual: each version waits for `shipway approve` before it is released",
    )
    hold_limit: Duration = Field(
        default=timedelta(days=7),
        exclude_if=lambda limit: limit == timedelta(days=7),
        description="a release that waits so long for a person (approval, hold, freeze) is rolled back",
    )
    bake: Duration = Field(
        default=timedelta(0),
        exclude_if=lambda bake: bake == timedelta(0),
        description="how long it has all the traffic, after the last canary step, before it is the champion",
    )
    evidence: Literal["seen", "shown"] = Field(
        default="seen",
        exclude_if=lambda evidence: evidence == "seen",
        description="what a canary step needs: min_requests answers and no harm seen, or that no harm is shown",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        exclude_if=lambda alpha: alpha == 0.05,
        description="chance at most that a version as good as the champion is taken for worse, over the whole canary",
    )
    worse_by: Share = Field(
        default=0.01,
        lt=1,
        exclude_if=lambda share: share == 0.01,
        description="how much larger a share of its answers may fail than of the champion's",
    )
    slower_by: Share = Field(
        default=0.1,
        lt=1,
        exclude_if=lambda share: share == 0.1,
        description="how much larger a share of its answers may be slow than of the champion's; "
        "slow is what one in ten of the champion's are when the step begins",
    )
    loss_worse_by: Share = Field(
        default=0.02,
        lt=1,
        exclude_if=lambda loss: loss == 0.02,
        description="how much larger its mean loss by labels may be than the champion's, of 0 to 1",
    )

    @model_validator(mode="after")
    def _rising(self) -> "Release":
        if list(self.canary) != sorted(set(self.canary)) or any(share in (0, 1) for share in self.canary):
            raise ValueError("canary: must be rising shares between 0 and 1, such as [0.1, 0.5]")
        return self


class Retirement(_Section):
    """When a version goes. One that is still needed never does: champion, last good, or in a release."""

    max_age: Duration = Field(description="older versions go, once unused")
    unused_for: Duration = Field(description="time without a prediction after which a version counts as unused")
    keep_bundles: bool = Field(default=True, description="whether a retired version's bundle stays in the object store")


class ServiceLevels(_Section):
    """Targets; the monitor measures against them."""

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


class PredictionLogSpec(_Section):
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


class Labels(_Section):
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


class Monitoring(_Section):
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
        description="drift is judged over this, a multiple of window; a day, where days are alike and hours are not",
    )
    drift_min_rows: int = Field(default=500, ge=50, description="fewer predictions in a window are no evidence")
    drift_effect: Share = Field(
        default=0.1, description="share of predictions that must lie elsewhere than in the reference"
    )
    drift_false_discoveries: float = Field(
        default=0.01, gt=0, le=0.5, description="share of columns found that may be found by chance"
    )
    drift_at_least: int = Field(default=2, ge=1, le=30, description="windows of the last drift_of that must drift")
    drift_of: int = Field(default=3, ge=1, le=30, description="see drift_at_least")

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
    "traffic", "errors", "latency", "rare_answer", "same_input", "missing_values", "unseen_values", "drift"
]


class Alerts(_Section):
    """When people are told that something is unusual (see Monitoring)."""

    severity: dict[AlertKind, Literal["critical", "warning", "none"]] = Field(
        default_factory=dict,
        description="how severe a kind is, or none; default: traffic, errors and missing_values are critical",
    )
    end_after: int = Field(default=2, ge=1, le=100, description="windows without it that end an alert")
    update_factor: float = Field(
        default=1.5, gt=1, description="an open alert is told again when its figure has changed by this factor"
    )


class ModelSpec(_Section):
    """The whole model file."""

    name: str = Field(description="lower-case letters, digits and dashes, 63 at most")
    description: str = Field(default="", max_length=2000, description="what it is for, in a sentence")
    owner: str = Field(default="", max_length=200, description="who answers for it")
    groups: list[str] = Field(
        default=[],
        max_length=20,
        exclude_if=lambda groups: not groups,
        description="groups that it answers in, when they are asked as one (POST /predict)",
    )
    data: Data
    target: Target
    features: dict[str, FeatureSpec] = Field(min_length=1, max_length=10_000)
    training: Training = Training()
    # These are left out where they are not said, as prediction_log.keep is.
    schedule: Schedule | None = Field(
        default=None, exclude_if=lambda schedule: schedule is None, description="when trainings are asked for"
    )
    checks: Checks = Field(default=Checks(), exclude_if=lambda checks: checks == Checks())
    stages: dict[StageName, StagePolicy] = Field(
        default_factory=dict, exclude_if=lambda stages: not stages, description="policies of a training's stages"
    )
    gates: Gates = Gates()
    release: Release = Release()
    retirement: Retirement
    service_levels: ServiceLevels = ServiceLevels()
    prediction_log: PredictionLogSpec = PredictionLogSpec()
    # Left out where it is not said, as PredictionLogSpec.keep.
    labels: Labels = Field(default=Labels(), exclude_if=lambda labels: labels == Labels())
    monitoring: Monitoring = Field(default=Monitoring(), exclude_if=lambda monitoring: monitoring == Monitoring())
    alerts: Alerts = Field(default=Alerts(), exclude_if=lambda alerts: alerts == Alerts())

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSpec":
        if not NAME.fullmatch(self.name):
            raise ValueError("name: must be lower-case letters, digits and dashes, starting with a letter, 63 at most")
        for group in self.groups:
            if not NAME.fullmatch(group):
                raise ValueError(f"groups: {group[:100]!r} must be lower-case letters, digits and dashes, 63 at most")
        for taken in (self.target.column, self.data.time_column):
            if taken in self.features:
                raise ValueError(f"features.{taken}: is the target or the time column, which would leak; remove it")
        if any(not n.isprintable() or '"' in n or len(n) > 200 for n in self.features):
            raise ValueError("features: names must be printable, without quotes, 200 characters at most")
        if self.target.kind == "binary" and self.target.classes and len(self.target.classes) != 2:
            raise ValueError("target.classes: a binary target has two")
        objective = self.training.params.get("objective")
        if objective is not None and objective not in _OBJECTIVES[self.target.kind]:
            allowed = ", ".join(sorted(_OBJECTIVES[self.target.kind]))
            raise ValueError(f"training.params.objective: a {self.target.kind} target allows {allowed}")
        fits = {
            "binary": {"auc", "log_loss", "accuracy"},
            "multiclass": {"log_loss", "accuracy"},
            "regression": {"rmse", "mae"},
        }
        if self.gates.metric and self.gates.metric not in fits[self.target.kind]:
            raise ValueError(
                f"gates.metric: a {self.target.kind} target allows {', '.join(sorted(fits[self.target.kind]))}"
            )
        if self.target.column in self.gates.slices:
            raise ValueError(
                f"gates.slices: {self.target.column!r} is the target; a slice of it has nothing to predict"
            )
        unknown = set(self.prediction_log.redact) - set(self.features)
        if unknown:
            raise ValueError(f"prediction_log.redact: {sorted(unknown)[0]!r} is not a feature")
        if not self.data.source.startswith(("folder:", "objects:")):
            raise ValueError('data.source: must be "folder:/path/to/parquet" or "objects:prefix/"')
        return self

    def policy(self, stage: StageName) -> StagePolicy:
        """How a stage is run, with nothing left open."""
        said = self.stages.get(stage, StagePolicy())
        limit = said.time_limit or self.training.time_limit
        return said.model_copy(
            update={
                "time_limit": limit,
                "max_attempts": said.max_attempts or self.training.max_attempts,
                "service_level": said.service_level or limit / 2,
            }
        )

    @property
    def metric(self) -> str:
        """The metric that versions are compared by."""
        return self.gates.metric or {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}[self.target.kind]


class InvalidSpec(Permanent):
    """A model file with wrong fields; ``problems`` has each, the field first."""

    def __init__(self, problems: list[InvalidField]) -> None:
        super().__init__("; ".join(str(p) for p in problems))
        self.problems = problems


def parse_spec(raw: Any) -> ModelSpec:
    """The model file's content, checked.

    Raises:
        InvalidSpec: names every wrong field and the remedy.
    """
    return _validated(raw, "forbid")


def recorded_spec(raw: Any) -> ModelSpec:
    """A spec that a service wrote, checked but for fields that are not known: a newer release may have written it.

    Raises:
        InvalidSpec: names every wrong field.
    """
    return _validated(raw, "ignore")


def _validated(raw: Any, unknown_fields: Literal["forbid", "ignore"]) -> ModelSpec:
    try:
        return ModelSpec.model_validate(raw, extra=unknown_fields)
    except ValidationError as err:
        raise InvalidSpec([_problem(e, raw) for e in err.errors(include_url=False)]) from err
    except RecursionError as err:
        raise InvalidSpec([InvalidField("model file", "nested too deeply")]) from err


def parse_toml(text: str) -> ModelSpec:
    """The same from TOML text.

    Raises:
        InvalidSpec: also for text that is not TOML, with line and column.
    """
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise InvalidSpec([InvalidField("model file", f"not valid TOML: {err}")]) from err
    return parse_spec(raw)


def to_builtins(spec: ModelSpec) -> dict[str, Any]:
    """The spec as JSON-like data that parse_spec reads back."""
    return spec.model_dump(mode="json")


def _problem(error: Any, raw: Any) -> InvalidField:
    location = [str(part) for part in error["loc"] if part != "[key]"]
    kind, message = error["type"], str(error["msg"])
    path = ".".join(location)
    if kind == "missing":
        return InvalidField(path, "is required; add it")
    if kind == "extra_forbidden":
        return InvalidField(path, f"is not a known field; {_nearest(location)}")
    if kind == "value_error":
        message = message.removeprefix("Value error, ")
        field, separator, rest = message.partition(": ")
        if separator and " " not in field:
            return InvalidField(".".join([*location, field]), rest)
        return InvalidField(path or "model file", message)
    got = error.get("input")
    shown = "" if isinstance(got, dict | list) else f", got {got!r}"[:100]
    return InvalidField(path or "model file", message[0].lower() + message[1:] + shown)


def _nearest(location: list[str]) -> str:
    model: Any = ModelSpec
    for part in location[:-1]:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        named = {"features": FeatureSpec, "stages": StagePolicy}
        model = named.get(part, field.annotation if field is not None else model)
    fields = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    close = difflib.get_close_matches(location[-1], fields, 1)
    return f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(fields)}"
