"""The trainer's settings: ``SHIPWAY_TRAINER__<SECTION>__<KEY>``."""

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import SettingsConfigDict

from shipway.runtime.authsettings import AccessSettings, CommandSettings, is_loopback
from shipway.runtime.settings import DatabaseSettings, DataSettings, HttpSettings, ObjectsSettings, ServiceSettings
from shipway.trainer.kinds import ALL_STAGES, StageName


class WorkerSettings(BaseModel):
    """How jobs are worked on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: int = Field(default=1, ge=1, le=64, description="trainings at once, each of another model")
    lease_s: float = Field(default=15.0, gt=0, description="a job whose trainer is silent for so long is taken over")
    renew_s: float = Field(default=5.0, gt=0, description="seconds between renewals of a lease")
    beat_s: float = Field(default=1.0, gt=0, description="seconds between looks for work")
    declaration_grace_s: float = Field(
        default=5.0, ge=0, description="how long a request waits for its model to be declared"
    )
    stages: str = Field(
        default="",
        description="stages that this trainer takes, comma-separated, such as get-data,clean; empty: all. "
        "Each stage needs a trainer that takes it",
    )
    max_threads: int = Field(default=0, ge=0, le=256, description="threads of a training at most; 0: no limit")
    memory_mb: int = Field(default=0, ge=0, description="address space of a training's process; 0: no limit")
    python: str = Field(
        default="",
        max_length=2000,
        description="packages whose functions model files may name, comma-separated (docs/own-python.md); empty: none",
    )
    keep_outputs_h: float = Field(
        default=168.0, gt=0, description="hours that a stage's output is kept for runs to come, after its last use"
    )
    keep_uploads_h: float = Field(
        default=24.0,
        gt=0,
        description="hours that the files of an import are kept that failed, was cancelled or never came",
    )

    @field_validator("stages")
    @classmethod
    def _known(cls, stages: str) -> str:
        for name in filter(None, (part.strip() for part in stages.split(","))):
            if name not in ALL_STAGES:
                raise ValueError(f"{name!r} is not a stage; there are {', '.join(ALL_STAGES)}")
        return stages

    @property
    def taken_stages(self) -> tuple[StageName, ...]:
        """The stages that this trainer takes."""
        named = {part.strip() for part in self.stages.split(",")}
        return tuple(name for name in ALL_STAGES if name in named) or ALL_STAGES


class AuthSettings(AccessSettings, CommandSettings):
    """Who may look at jobs, and whose commands count."""


class TrainerSettings(ServiceSettings):
    """What the trainer can be told."""

    model_config = SettingsConfigDict(
        env_prefix="SHIPWAY_TRAINER__", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    http: HttpSettings = HttpSettings(port=8101)
    database: DatabaseSettings = DatabaseSettings()
    objects: ObjectsSettings = ObjectsSettings()
    data: DataSettings = DataSettings()
    worker: WorkerSettings = WorkerSettings()
    auth: AuthSettings = AuthSettings()

    @property
    def shows_jobs(self) -> bool:
        """Whether jobs may be looked at over HTTP: where tokens are asked for, or nobody else can ask."""
        return self.auth.tokens_file is not None or self.auth.off or is_loopback(self.http.host)
