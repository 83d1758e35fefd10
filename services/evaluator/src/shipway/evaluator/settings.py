"""The evaluator's settings: ``SHIPWAY_EVALUATOR__<SECTION>__<KEY>``."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from shipway.evaluator.replays import Limits
from shipway.runtime.authsettings import CommandSettings
from shipway.runtime.settings import DatabaseSettings, DataSettings, HttpSettings, ObjectsSettings, ServiceSettings


class JudgeSettings(BaseModel):
    """How versions are judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beat_s: float = Field(default=1.0, gt=0, description="seconds between looks for versions to judge")
    wait_s: float = Field(default=3.0, gt=0, description="pause after the store or the data was away")
    crashes_allowed: int = Field(default=2, ge=0, description="new tries after the judging process died")
    trial_limit_s: float = Field(default=30.0, gt=0, description="longest time for the golden rows")
    time_limit_s: float = Field(default=600.0, gt=0, description="longest time for scoring the holdout")
    memory_mb: int = Field(default=8192, ge=0, description="address space of the judging process; 0: no limit")


class ReplaySettings(BaseModel):
    """How much of the past versions are asked again on request, and with what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_rows: int = Field(default=200_000, ge=1, le=10_000_000, description="predictions of one replay at most")
    max_days: int = Field(default=92, ge=1, le=3660, description="days that one replay may reach over")
    max_waiting: int = Field(default=20, ge=1, le=10_000, description="replays that may wait; more are refused")
    beat_s: float = Field(default=1.0, gt=0, description="seconds between looks for replays to make")
    wait_s: float = Field(default=3.0, gt=0, description="pause after the store was away, or the process died")
    crashes_allowed: int = Field(default=1, ge=0, description="new tries after the replaying process died")
    time_limit_s: float = Field(default=600.0, gt=0, description="longest time of a replay")
    memory_mb: int = Field(default=8192, ge=0, description="address space of the replaying process; 0: no limit")

    @property
    def limits(self) -> Limits:
        """How much may be asked for."""
        return Limits(self.max_rows, self.max_days, self.max_waiting)


class EvaluatorSettings(ServiceSettings):
    """What the evaluator can be told."""

    model_config = SettingsConfigDict(
        env_prefix="SHIPWAY_EVALUATOR__", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    http: HttpSettings = HttpSettings(port=8102)
    database: DatabaseSettings = DatabaseSettings()
    objects: ObjectsSettings = ObjectsSettings()
    data: DataSettings = DataSettings()
    judge: JudgeSettings = JudgeSettings()
    replay: ReplaySettings = ReplaySettings()
    auth: CommandSettings = CommandSettings()
