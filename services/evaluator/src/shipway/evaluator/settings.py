"""The evaluator's settings: ``SHIPWAY_EVALUATOR__<SECTION>__<KEY>``."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

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
