"""What a monitor can be told."""

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from shipway.contract.arrowbounds import Bounds
from shipway.runtime.authsettings import AccessSettings, CommandSettings, GuardedSettings
from shipway.runtime.settings import DatabaseSettings, HttpSettings, ObjectsSettings

_ADDRESS = re.compile(r"[^@\s,<>\x00-\x1f]+@[^@\s,<>\x00-\x1f]+")


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


class LabelSettings(BaseModel):
    """How labels are joined to their predictions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_again_s: float = Field(
        default=15.0, gt=0, description="seconds until a prediction is looked for again; doubled each time, to an hour"
    )
    file_every_s: float = Field(default=60.0, gt=0, description="seconds between two writings of a day's labels")
    tell_every_s: float = Field(default=15.0, gt=0, description="seconds between two QualityMeasured of a version")


class AlertSettings(BaseModel):
    """Whom alerts are told, besides Kafka."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook_url: SecretStr = Field(default=SecretStr(""), description="alerts are posted there; empty: nowhere")
    webhook_format: Literal["json", "slack"] = Field(default="json", description="all of the alert, or Slack's text")
    webhook_least: Literal["warning", "critical"] = Field(default="warning", description="the least severe to tell")
    alertmanager_url: str = Field(default="", description="an Alertmanager, such as http://alertmanager:9093")
    smtp_url: SecretStr = Field(
        default=SecretStr(""), description="smtp://user:password@host:587 (STARTTLS) or smtps://...; empty: no mail"
    )
    email_from: str = Field(default="", description="the sender's address")
    email_to: str = Field(default="", description="the receivers' addresses, comma-separated")
    email_least: Literal["warning", "critical"] = Field(default="warning", description="the least severe to mail")
    documentation_url: str = Field(default="", description="where docs/ is to be read, for links to its pages")

    @field_validator("webhook_url", "alertmanager_url", "documentation_url")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and urlsplit(text).scheme not in ("http", "https"):
            raise ValueError("must be an address with http:// or https://, or empty")
        return value

    @model_validator(mode="after")
    def _mail(self) -> Self:
        url = self.smtp_url.get_secret_value()
        if not url:
            return self
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("smtp_url: must be smtp://host:port or smtps://host:port")
        for name, value in (("email_from", self.email_from), ("email_to", self.email_to)):
            if not value or not all(_ADDRESS.fullmatch(one.strip()) for one in value.split(",")):
                raise ValueError(f"{name}: must be an address such as ops@example.org, where smtp_url is set")
        return self


class DashboardSettings(BaseModel):
    """The dashboard, at /dashboard of the monitor's port."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: bool = Field(default=True, description="false: there is none, only the API")
    commands: bool = Field(default=True, description="false: it only shows, and gives no command")
    session_h: float = Field(default=12.0, gt=0, le=24 * 30, description="hours until people must sign in again")
    https: bool = Field(
        default=False, description="browsers come by https (TLS ends before it): the cookie goes over nothing else"
    )
    hosts: str = Field(
        default="",
        description="names that browsers call it by, comma-separated, where there are no tokens; "
        "addresses and names without a dot always do",
    )
    trainer_url: str = Field(
        default="", description="a trainer's URL, http://...: jobs are shown with their stages and logs, which it has"
    )
    trainer_token: SecretStr = Field(
        default=SecretStr(""), description="API token with the scope read, where the trainer asks for one"
    )
    import_bytes: int = Field(
        default=50_000_000, ge=1000, description="bytes in a file of a model that is imported by browser"
    )

    @field_validator("trainer_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("must be an address with http:// or https://, or empty")
        return url


class BatchSettings(BaseModel):
    """How much one message of the prediction log may hold; a larger one is a dead letter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message_bytes: int = Field(default=4_000_000, ge=1, description="bytes as it comes")
    rows: int = Field(default=100_000, ge=1, description="predictions")
    bytes: int = Field(default=64_000_000, ge=1, description="bytes, decompressed")
    columns: int = Field(default=100, ge=1, description="columns, those of a newer release included")
    nesting: int = Field(default=8, ge=1, le=64, description="levels of nesting in a column's type")

    def bounds(self) -> Bounds:
        """As the contract takes them."""
        return Bounds(**self.model_dump())


class AuthSettings(AccessSettings, CommandSettings):
    """Who may look and operate, whose commands count, and the key that signs those of the dashboard."""


class MonitorSettings(GuardedSettings):
    """The monitor's settings."""

    model_config = SettingsConfigDict(
        env_prefix="SHIPWAY_MONITOR__", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    beat_s: float = Field(default=1.0, gt=0, description="seconds between looks at what is to be retired or has failed")
    silent_after_s: float = Field(
        default=10.0, gt=0, description="an instance that said nothing so long counts as gone"
    )
    batches: BatchSettings = BatchSettings()
    database: DatabaseSettings = DatabaseSettings()
    http: HttpSettings = HttpSettings(port=8090)
    objects: ObjectsSettings = ObjectsSettings()
    history: HistorySettings = HistorySettings()
    labels: LabelSettings = LabelSettings()
    alerts: AlertSettings = AlertSettings()
    auth: AuthSettings = AuthSettings()
    dashboard: DashboardSettings = DashboardSettings()
    watch_beat_s: float = Field(default=5.0, gt=0, description="seconds between looks at windows that are over")
    levels_beat_s: float = Field(default=5.0, gt=0, description="seconds between looks at service levels")
