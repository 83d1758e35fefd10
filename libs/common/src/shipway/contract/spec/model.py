"""The whole model file, and what its sections must agree on."""

from pydantic import Field, model_validator

from shipway.contract.spec.combinations import check_combinations
from shipway.contract.spec.data import Data, FeatureSpec, Target
from shipway.contract.spec.gates import Gates
from shipway.contract.spec.levels import ServiceLevels
from shipway.contract.spec.lookups import LookupSpec, check_lookups
from shipway.contract.spec.ranking import check_ranking
from shipway.contract.spec.release import Release, Retirement
from shipway.contract.spec.retraining import Retraining
from shipway.contract.spec.search import Search
from shipway.contract.spec.training import OBJECTIVES, Checks, OwnPython, Schedule, StageName, StagePolicy, Training
from shipway.contract.spec.values import NAME, Section, later
from shipway.contract.spec.watching import Alerts, Labels, Monitoring, PredictionLogSpec


class ModelSpec(Section):
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
    lookups: list[LookupSpec] = later([], max_length=20)
    training: Training = Training()
    # These are left out where they are not said, as prediction_log.keep is.
    schedule: Schedule | None = Field(
        default=None, exclude_if=lambda schedule: schedule is None, description="when trainings are asked for"
    )
    search: Search = Field(default=Search(), exclude_if=lambda search: search == Search())
    checks: Checks = Field(default=Checks(), exclude_if=lambda checks: checks == Checks())
    clean: OwnPython | None = Field(
        default=None, exclude_if=lambda own: own is None, description="which rows are trained on"
    )
    preprocess: OwnPython | None = Field(
        default=None, exclude_if=lambda own: own is None, description="how often each row counts, and its target"
    )
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
    retraining: Retraining = Field(default=Retraining(), exclude_if=lambda retraining: retraining == Retraining())
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
        by, _, name = self.release.sticky.partition(":")
        if by == "feature" and name not in {*self.features, *(one.key for one in self.lookups)}:
            raise ValueError(f"release.sticky: {name[:100]!r} is none of the features; name one, or a header")
        if self.target.kind == "binary" and self.target.classes and len(self.target.classes) != 2:
            raise ValueError("target.classes: a binary target has two")
        objective = self.training.params.get("objective")
        if objective is not None and objective not in OBJECTIVES[self.target.kind]:
            allowed = ", ".join(sorted(OBJECTIVES[self.target.kind]))
            raise ValueError(f"training.params.objective: a {self.target.kind} target allows {allowed}")
        fits = {
            "binary": {"auc", "log_loss", "accuracy"},
            "multiclass": {"log_loss", "accuracy"},
            "regression": {"rmse", "mae"},
            "ranking": {"ndcg"},
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
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "ModelSpec":
        check_ranking(self)
        return self

    @model_validator(mode="after")
    def _lookups_fit(self) -> "ModelSpec":
        check_lookups(self.lookups, self.features, (self.target.column, self.data.time_column))
        for one in self.lookups:
            if self.release.sticky in [f"feature:{name}" for name in one.features]:
                raise ValueError(
                    f"release.sticky: requests do not give what is looked up; name what they do, feature:{one.key}"
                )
        return self

    @model_validator(mode="after")
    def _slices_are_logged(self) -> "ModelSpec":
        for name in self.monitoring.slices or []:
            if name not in self.features:
                raise ValueError(f"monitoring.slices: {name!r} is not a feature; the prediction log has nothing else")
            if name in self.prediction_log.redact:
                raise ValueError(f"monitoring.slices: {name!r} is redacted from the prediction log; remove one of them")
        return self

    @model_validator(mode="after")
    def _combinations_are_logged(self) -> "ModelSpec":
        check_combinations(self.monitoring.combinations, self.features, self.prediction_log)
        return self

    @model_validator(mode="after")
    def _history_has_it(self) -> "ModelSpec":
        if not self.data.from_history:
            return self
        hidden = sorted(set(self.prediction_log.redact) & set(self.features))
        if hidden:
            raise ValueError(
                f"prediction_log.redact: {hidden[0]!r} is not kept in the history, so nothing can be learnt from it;"
                " keep it, remove it from features, or train on another data.source"
            )
        if self.prediction_log.sample == 0:
            raise ValueError("prediction_log.sample: 0 keeps no features to train on; keep some, or change data.source")
        others = sorted(set(self.gates.slices) - set(self.features))
        if others:
            raise ValueError(f"gates.slices: {others[0]!r} is not a feature; the history has nothing else to cut by")
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
    def watched_slices(self) -> list[str]:
        """The features by whose values predictions are watched apart: those declared, else those of the gates."""
        if self.monitoring.slices is not None:
            return self.monitoring.slices
        return [name for name in self.gates.slices if name in self.features and name not in self.prediction_log.redact]

    @property
    def metric(self) -> str:
        """The metric that versions are compared by."""
        by_kind = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse", "ranking": "ndcg"}
        return self.gates.metric or by_kind[self.target.kind]
