"""What a gateway can be told."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from shipway.runtime.authsettings import GuardedSettings
from shipway.runtime.settings import HttpSettings, PredictionLogSettings


class LimitSettings(BaseModel):
    """What a gateway takes on at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(default=1000, ge=1, description="rows in one request")
    models: int = Field(default=20, ge=1, description="models in one request")
    body_bytes: int = Field(default=2_000_000, ge=1000, description="bytes in one request")
    in_flight: int = Field(default=512, ge=1, description="requests of one version under way; more are refused (503)")
    request_timeout_ms: int = Field(
        default=5000, ge=10, description="longest time for an answer; X-Request-Timeout-Ms shortens it"
    )
    patience_ms: int = Field(default=2000, ge=0, description="longest wait for an instance when none can answer")
    silence_ms: int = Field(
        default=1000, ge=20, description="an instance that was asked, and says nothing for so long, is taken out"
    )
    shadow_rows: int = Field(
        default=200, ge=0, description="rows of a model that are with its shadow; what is more is not copied to it"
    )
    shadow_busy: int = Field(
        default=32, ge=0, description="an instance with so many requests under way is asked for no shadow"
    )
    retry_share: float = Field(default=0.2, ge=0, le=1, description="retries at most, as a share of a model's requests")


class LaterSettings(BaseModel):
    """What a gateway answers later, and how long it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pending: int = Field(default=1000, ge=1, description="requests under way to be answered later; more are refused")
    timeout_ms: int = Field(default=60_000, ge=10, description="longest time for a model's answer, where it is later")
    keep_s: float = Field(default=600.0, gt=0, le=3600, description="seconds from due until a result is forgotten")
    keep_results: int = Field(default=100_000, ge=1, description="results kept in memory; the oldest go")
    keep_mb: int = Field(default=100, ge=1, description="megabytes of results kept in memory; the oldest go")


class FeatureSettings(BaseModel):
    """How much of the look-up tables a gateway keeps; a worker each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_rows: int = Field(default=500_000, ge=1, description="rows kept in memory; what is more is left out, and told")
    keep_mb: int = Field(default=200, ge=1, description="megabytes kept in memory; what is more is left out, and told")


class ProbeSettings(BaseModel):
    """How instances are watched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_s: float = Field(default=1.0, gt=0, description="seconds between probes of a healthy instance")
    every_out_s: float = Field(default=0.25, gt=0, description="seconds between probes of one that is out")
    timeout_s: float = Field(default=1.0, gt=0, description="longest wait for a probe")
    failures: int = Field(default=2, ge=1, description="failed probes in a row that put an instance out")
    forget_s: float = Field(default=600.0, gt=0, description="an instance that failed so long is forgotten")


class GatewaySettings(GuardedSettings):
    """The gateway's settings."""

    model_config = SettingsConfigDict(
        env_prefix="SHIPWAY_GATEWAY__", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    instance: str = Field(
        default="", max_length=100, description="its name in records and presence; default: gateway-host-port"
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="processes on the port, each with tables and limits of its own"
    )
    heartbeat_s: float = Field(default=2.0, gt=0, description="seconds between messages that say what it routes by")
    limits: LimitSettings = LimitSettings()
    probes: ProbeSettings = ProbeSettings()
    prediction_log: PredictionLogSettings = PredictionLogSettings()
    later: LaterSettings = LaterSettings()
    features: FeatureSettings = FeatureSettings()
    http: HttpSettings = HttpSettings(port=8080)

    def name(self, worker: int | None) -> str:
        """What this gateway, or this worker of it, is called. No other replica is called so, and it is again after a
        restart.
        """
        whole = self.instance or f"gateway-{self.http.known_as}-{self.http.port}"
        return whole if worker is None else f"{whole}-{worker}"
