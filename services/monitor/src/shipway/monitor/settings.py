"""What a monitor can be told."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from shipway.runtime.authsettings import GuardedSettings
from shipway.runtime.settings import DatabaseSettings, HttpSettings, ObjectsSettings


class HistorySettings(BaseModel):
    """How the prediction log becomes Parquet files in the object store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roll_rows: int = Field(default=50_000, ge=1, le=1_000_000, description="records of a model and day make a file")
    roll_s: float = Field(default=30.0, gt=0, description="or so many seconds after the first of them came")
    merge_after_s: float = Field(
        default=3600.0, ge=0, description="seconds after a UTC day's end until its files are merged into one"
    )
    staging_mb: int = Field(
        default=1024, ge=1, description="records that wait in PostgreSQL for the object store; beyond it, reading waits"
    )


class MonitorSettings(GuardedSettings):
    """The monitor's settings."""

    model_config = SettingsConfigDict(
        env_prefix="SHIPWAY_MONITOR__", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    beat_s: float = Field(default=1.0, gt=0, description="seconds between looks at what is to be retired or has failed")
    silent_after_s: float = Field(
        default=10.0, gt=0, description="an instance that said nothing so long counts as gone"
    )
    database: DatabaseSettings = DatabaseSettings()
    http: HttpSettings = HttpSettings(port=8090)
    objects: ObjectsSettings = ObjectsSettings()
    history: HistorySettings = HistorySettings()
