"""Sections [training], [checks], [schedule] and [stages]: how and when versions are trained."""

import difflib
import re
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from shipway.contract.spec.values import Duration, Section, Share

# LightGBM parameters that a model file may set, and their types.
PARAMS: dict[str, tuple[type, ...]] = {
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
    "lambdarank_truncation_level": (int,),
    "lambdarank_norm": (bool,),
}
# What LightGBM calls the objective of a target where it is not the target's kind.
DEFAULT_OBJECTIVE = {"ranking": "lambdarank"}
OBJECTIVES = {
    "ranking": {"lambdarank", "rank_xendcg"},
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


class Training(Section):
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
            allowed = PARAMS.get(name)
            if allowed is None:
                close = difflib.get_close_matches(name, PARAMS, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"allowed are {', '.join(sorted(PARAMS))}"
                raise ValueError(f"params.{name}: is not an allowed LightGBM parameter; {hint}")
            if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
                raise ValueError(f"params.{name}: must be {allowed[0].__name__}, not {value!r}")
        return self


class Checks(Section):
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


_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class OwnPython(Section):
    """Python of the model's own within a stage, by entry point (docs/own-python.md). It is not run at serving."""

    python: str = Field(max_length=300, description='a function of an installed package: "package.module:function"')

    @field_validator("python")
    @classmethod
    def _entry_point(cls, entry: str) -> str:
        if not _ENTRY.fullmatch(entry):
            raise ValueError('must name a function as "package.module:function"')
        return entry


StageName = Literal["get-data", "clean", "preprocess", "train", "evaluate", "build", "record"]
STAGES: tuple[StageName, ...] = get_args(StageName)


class Schedule(Section):
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


class StagePolicy(Section):
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
