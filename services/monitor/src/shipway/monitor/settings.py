"""What a monitor can be told."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shipway.runtime.authsettings import GuardedSettings
from shipway.runtime.settings import DatabaseSettings, HttpSettings


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
