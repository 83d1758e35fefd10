"""What the releaser can be told."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from shipway.runtime.authsettings import CommandSettings
from shipway.runtime.settings import DatabaseSettings, HttpSettings, ObjectsSettings, ServiceSettings


class RolloutSettings(BaseModel):
    """The releaser's pace. How a version takes over is the model file's business, section ``release``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beat_s: float = Field(default=0.25, gt=0, description="seconds between looks at every release, besides events")
    republish_s: float = Field(default=10.0, gt=0, description="seconds between publications of every desired state")
    dead_after_s: float = Field(default=10.0, gt=0, description="an instance that was silent for so long is gone")
    drain_s: float = Field(default=2.0, ge=0, description="how long a version stays loaded after its last traffic")
    replacement_pause_s: float = Field(
        default=3600.0, ge=0, description="trainings in the place of degraded champions of a model are so far apart"
    )
    standby_limit: int = Field(default=10, ge=0, le=15, description="older versions kept loaded, besides the last good")


class ReleaserSettings(ServiceSettings):
    """The releaser's settings."""

    model_config = SettingsConfigDict(env_prefix="SHIPWAY_RELEASER__")

    http: HttpSettings = HttpSettings(port=8103)
    database: DatabaseSettings = DatabaseSettings()
    objects: ObjectsSettings = ObjectsSettings()
    rollout: RolloutSettings = RolloutSettings()
    auth: CommandSettings = CommandSettings()
