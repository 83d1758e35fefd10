"""Settings from the environment: ``SHIPWAY_<SERVICE>__<SECTION>__<KEY>``, else ``SHIPWAY__<SECTION>__<KEY>``."""

import socket
import sys
from ipaddress import ip_address
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

SHARED_PREFIX = "SHIPWAY__"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    """How the broker is reached."""

    bootstrap: str = Field(default="127.0.0.1:9092", min_length=3, description="host:port of brokers, comma-separated")
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="the listener's protocol; SSL with a certificate of our own is mutual TLS"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="how username and password are proven, with SASL"
    )
    username: str = Field(default="", description="user, with SASL")
    password: SecretStr = Field(default=SecretStr(""), description="password, with SASL")
    ca_file: str = Field(default="", description="authorities to trust (PEM), with SSL; default: the system's")
    cert_file: str = Field(default="", description="our certificate (PEM), for mutual TLS")
    key_file: str = Field(default="", description="our certificate's key (PEM), where it is a file of its own")
    request_timeout_ms: int = Field(default=5000, ge=500, description="longest wait for one answer of the broker")
    idle_fetch_pause_ms: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="pause after an empty fetch, for a broker that does not long-poll",
    )
    doorbell: str = Field(
        default="",
        description="a folder by which those who publish on this machine wake those who read, for such a broker",
    )
    group_instance: str = Field(
        default="",
        description="a name that this process keeps over restarts, unique in its consumer group (static membership): "
        "after a restart it has its place back at once",
    )
    provision: bool = Field(default=True, description="create missing topics; false: wait for somebody else to")
    replication_factor: int = Field(default=1, ge=1, description="of topics that are created")
    beat_s: float = Field(
        default=5.0, gt=0, description="seconds between looks at whether the broker kept what it acknowledged"
    )


class DatabaseSettings(_Section):
    """How PostgreSQL is reached; the service's tables live in a schema with its name."""

    url: SecretStr = Field(
        default=SecretStr("postgresql://shipway@127.0.0.1:5432/shipway"),
        description="postgresql://user:password@host:port/database",
    )
    pool_size: int = Field(
        default=5, ge=1, le=100, description="connections at most, beside 3 for what is held for long"
    )
    timeout_s: float = Field(default=5.0, gt=0, description="longest wait for a connection")
    tls: Literal["off", "require", "verify"] = Field(
        default="off", description="require: encrypted; verify: and the server's certificate and name are right"
    )
    ca_file: str = Field(default="", description="authorities to trust (PEM); default: the system's")
    cert_file: str = Field(default="", description="our certificate (PEM), for mutual TLS")
    key_file: str = Field(default="", description="our certificate's key (PEM), where it is a file of its own")


class ObjectsSettings(_Section):
    """Where bundles and data lie."""

    url: str = Field(default="file:///var/lib/shipway/objects", description="file:///folder or s3://bucket")
    endpoint: str = Field(default="http://127.0.0.1:9000", description="S3 endpoint, with http:// or https://")
    access_key: str = Field(default="", description="S3 access key")
    secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key")
    region: str = Field(default="us-east-1", description="S3 region")
    timeout_s: float = Field(default=10.0, gt=0, description="longest wait for the store")
    style: Literal["auto", "path", "virtual-host"] = Field(
        default="auto", description="where the bucket's name goes: into the path or the host; auto: as the host asks"
    )
    ca_file: str = Field(default="", description="authorities to trust (PEM), with https; default: the system's")


class _ObjectsAlone(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=SHARED_PREFIX, env_nested_delimiter="__", extra="ignore")

    objects: ObjectsSettings = ObjectsSettings()


def objects_from_environment() -> ObjectsSettings:
    """The object store by the shared variables (SHIPWAY__OBJECTS__...), for what is no service."""
    return _ObjectsAlone().objects


class DataSettings(_Section):
    """Which data models may be trained and judged on, and how much of it: files are hostile input."""

    folders: str = Field(
        default="",
        description='folders that "folder:" sources may lie in, absolute, separated by ":"; empty: none, "/": any',
    )
    max_rows: int = Field(
        default=100_000_000, ge=1, description="rows of a window at most, whatever the model file says"
    )
    max_bytes: int = Field(default=16_000_000_000, ge=1, description="bytes of a window at most, decoded")
    max_file_bytes: int = Field(default=4_000_000_000, ge=1, description="bytes of one Parquet file or object at most")
    max_columns: int = Field(default=10_000, ge=1, description="columns of a Parquet file at most")
    max_nesting: int = Field(default=8, ge=1, le=64, description="levels of nesting in a Parquet file's types at most")
    history_lag_s: float = Field(
        default=120.0,
        ge=0,
        description="seconds until a prediction and its label are in their files: a training on the history takes in"
        " what was known so long before it was asked for",
    )

    @field_validator("folders")
    @classmethod
    def _absolute(cls, folders: str) -> str:
        for folder in folders.split(":"):
            if folder and not folder.startswith("/"):
                raise ValueError(f"{folder!r} is not an absolute path")
        return folders


class PredictionLogSettings(_Section):
    """The way of prediction records to Kafka."""

    folder: str = Field(
        default="",
        description="where batches of records wait for Kafka, and outlive the process; may be shared; empty: in memory",
    )
    max_bytes: int = Field(
        default=1_000_000_000, ge=1_000_000, description="of batches in the folder; the oldest go, and count as dropped"
    )
    memory_bytes: int = Field(
        default=64_000_000, ge=1_000_000, description="of batches in memory, without a folder or with its disk full"
    )
    off: bool = Field(default=False, description="log nothing: every answer counts as dropped; for measurements")


class HttpSettings(_Section):
    """Where the service listens."""

    host: str = Field(default="127.0.0.1", description="address to bind")
    port: int = Field(default=8080, ge=1, le=65535, description="port to bind")
    head_timeout_s: float = Field(
        default=10.0, gt=0, description="a connection whose request's head takes longer to come is ended"
    )
    body_timeout_s: float = Field(default=60.0, gt=0, description="the same of the body, after the head")

    @property
    def known_as(self) -> str:
        """The host that others reach it by: of a container that listens everywhere, its host name."""
        try:
            everywhere = ip_address(self.host).is_unspecified
        except ValueError:  # a name, or nothing, which is everywhere, too
            everywhere = not self.host
        return socket.gethostname() if everywhere else self.host


class LogSettings(_Section):
    """How the service logs, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level shown")
    format: Literal["json", "console"] = Field(default="json", description="json, or console for people")


class TracingSettings(_Section):
    """Where spans go."""

    endpoint: str = Field(
        default="", description="an OTLP/HTTP collector, such as http://collector:4318; empty: spans go nowhere"
    )
    sample: float = Field(
        default=0.01, ge=0, le=1, description="share of the predictions whose span is told; all of everything else"
    )

    @field_validator("endpoint")
    @classmethod
    def _http(cls, endpoint: str) -> str:
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"{endpoint!r} is not an address that begins with http:// or https://")
        return endpoint


class _TracingAlone(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=SHARED_PREFIX, env_nested_delimiter="__", extra="ignore")

    tracing: TracingSettings = TracingSettings()


def tracing_from_environment() -> TracingSettings:
    """Where spans go by the shared variables (SHIPWAY__TRACING__...), for what is no service."""
    return _TracingAlone().tracing


class ServiceSettings(BaseSettings):
    """What every service can be told. Subclasses set ``env_prefix`` and add sections of their own."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", extra="ignore", frozen=True)

    kafka: KafkaSettings = KafkaSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The service's own variables first, the shared ones behind them."""
        return init_settings, env_settings, EnvSettingsSource(settings_cls, env_prefix=SHARED_PREFIX)

    @classmethod
    def load(cls) -> Self:
        """The settings, or the end of the process with one clear line (exit code 2)."""
        try:
            return cls()
        except ValidationError as err:
            lines = [f"{_variable(cls, e['loc'])}: {e['msg']}" for e in err.errors()]
            sys.stderr.write("shipway: wrong setting: " + "; ".join(lines) + "\n")
            raise SystemExit(2) from None


def _variable(cls: type[ServiceSettings], location: tuple[int | str, ...]) -> str:
    prefix = cls.model_config.get("env_prefix") or SHARED_PREFIX
    return prefix + "__".join(str(part).upper() for part in location)


def describe(cls: type[ServiceSettings]) -> list[tuple[str, str, str]]:
    """Every setting of a class as (variable, default, description), for help texts and docs."""
    rows: list[tuple[str, str, str]] = []
    for name, field in cls.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            given = field.get_default(call_default_factory=True)
            for key, inner in section.model_fields.items():
                rows.append((_variable(cls, (name, key)), str(getattr(given, key)), inner.description or ""))
        else:
            rows.append(
                (
                    _variable(cls, (name,)),
                    str(field.get_default(call_default_factory=True)),
                    field.description or "",
                )
            )
    return rows
