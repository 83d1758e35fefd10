"""The model file: one TOML file that says everything about a model, a module for each kind of section."""

from shipway.contract.spec.data import HISTORY, Data, FeatureSpec, Target
from shipway.contract.spec.gates import Gates
from shipway.contract.spec.levels import ServiceLevels
from shipway.contract.spec.lookups import LookupSpec
from shipway.contract.spec.model import ModelSpec
from shipway.contract.spec.parsing import (
    MAX_MODEL_FILE_BYTES,
    InvalidSpec,
    parse_spec,
    parse_toml,
    recorded_spec,
    to_builtins,
)
from shipway.contract.spec.release import Release, Retirement
from shipway.contract.spec.retraining import Retraining, Trigger
from shipway.contract.spec.search import ParamRange, Search
from shipway.contract.spec.training import (
    DEFAULT_OBJECTIVE,
    PARAMS,
    STAGES,
    Checks,
    OwnPython,
    Schedule,
    StageName,
    StagePolicy,
    Training,
)
from shipway.contract.spec.values import NAME, Duration, Share, format_duration, parse_duration
from shipway.contract.spec.watching import AlertKind, Alerts, Labels, Monitoring, PredictionLogSpec

__all__ = [
    "DEFAULT_OBJECTIVE",
    "HISTORY",
    "MAX_MODEL_FILE_BYTES",
    "NAME",
    "PARAMS",
    "STAGES",
    "AlertKind",
    "Alerts",
    "Checks",
    "Data",
    "Duration",
    "FeatureSpec",
    "Gates",
    "InvalidSpec",
    "Labels",
    "LookupSpec",
    "ModelSpec",
    "Monitoring",
    "OwnPython",
    "ParamRange",
    "PredictionLogSpec",
    "Release",
    "Retirement",
    "Retraining",
    "Schedule",
    "Search",
    "ServiceLevels",
    "Share",
    "StageName",
    "StagePolicy",
    "Target",
    "Training",
    "Trigger",
    "format_duration",
    "parse_duration",
    "parse_spec",
    "parse_toml",
    "recorded_spec",
    "to_builtins",
]
