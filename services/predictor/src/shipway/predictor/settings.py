"""What a predictor can be told."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import SettingsConfigDict

from shipway.runtime.settings import HttpSettings, ObjectsSettings, PredictionLogSettings, ServiceSettings


class LimitSettings(BaseModel):
    """What a predictor takes on at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(default=10_000, ge=1, description="rows in one request")
    body_bytes: int = Field(default=64_000_000, ge=1000, description="bytes in one request")
    parallel_loads: int = Field(default=2, ge=1, le=64, description="versions loaded at the same time")
    trial_s: float = Field(default=30.0, gt=0, description="longest trial of a model in the child process")
    trial_mb: int = Field(default=4096, ge=256, description="memory of the child process")


class BundlesSettings(BaseModel):
    """Bundles that lie beside the server, as in an image that ``shipway image`` made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = Field(
        default="",
        description="folder with bundles/DIGEST/ in it; what it has is read from there and not from the object store",
    )
    only: bool = Field(
        default=False, description="hold only versions whose bundles are in the folder, and need no object store"
    )

    @model_validator(mode="after")
    def _of_a_folder(self) -> Self:
        if self.only and not self.folder:
            raise ValueError("only: needs a folder that has bundles; set BUNDLES__FOLDER as well")
        return self


class PredictorSettings(ServiceSettings):
    """The predictor's settings."""

    model_config = SettingsConfigDict(
        env_prefix="SHIPWAY_PREDICTOR__", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    instance: str = Field(default="", max_length=100, description="the instance's name; default: host-port")
    advertise: str = Field(default="", max_length=300, description="URL that gateways call; default: http://HOST:PORT")
    rows_port: int = Field(default=0, ge=0, le=65535, description="port of the rows protocol; 0: a free one")
    heartbeat_s: float = Field(default=2.0, gt=0, description="seconds between presence messages")
    drain_s: float = Field(default=1.0, ge=0, description="seconds of serving on after saying goodbye")
    objects: ObjectsSettings = ObjectsSettings()
    bundles: BundlesSettings = BundlesSettings()
    limits: LimitSettings = LimitSettings()
    prediction_log: PredictionLogSettings = PredictionLogSettings()
    http: HttpSettings = HttpSettings(port=8081)

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.instance or f"{self.http.known_as}-{self.http.port}"

    @property
    def url(self) -> str:
        """The URL that gateways call."""
        return (self.advertise or f"http://{self.http.known_as}:{self.http.port}").rstrip("/")

    def rows_address(self, port: int) -> str:
        """The host:port that gateways connect to, once the rows protocol has this port: at the host of ``url``."""
        return f"{urlsplit(self.url).hostname}:{port}"
