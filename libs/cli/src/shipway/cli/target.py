"""Which Shipway a command speaks to: the options, else the environment, else the stack running on a data folder."""

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic_settings import BaseSettings, SettingsConfigDict

from shipway.client import Addresses
from shipway.client.errors import ShipwayError
from shipway.embedded.state import read_state
from shipway.runtime.settings import SHARED_PREFIX, KafkaSettings, ObjectsSettings

DEFAULT_FOLDER = Path(".shipway")

Folder = Annotated[
    Path, typer.Option("--data", envvar="SHIPWAY_DATA", help="data folder of the embedded stack", show_default=True)
]
Gateway = Annotated[str | None, typer.Option("--gateway", envvar="SHIPWAY_GATEWAY_URL", help="URL of the gateway")]
Monitor = Annotated[str | None, typer.Option("--monitor", envvar="SHIPWAY_MONITOR_URL", help="URL of the monitor")]
Trainer = Annotated[str | None, typer.Option("--trainer", envvar="SHIPWAY_TRAINER_URL", help="URL of the trainer")]
Kafka = Annotated[str | None, typer.Option("--kafka", envvar="SHIPWAY__KAFKA__BOOTSTRAP", help="host:port of Kafka")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON to standard output, for programs")]


class ClientSettings(BaseSettings):
    """What a command takes from the environment: the same variables as the services."""

    model_config = SettingsConfigDict(env_prefix=SHARED_PREFIX, env_nested_delimiter="__", extra="ignore", frozen=True)

    kafka: KafkaSettings = KafkaSettings()
    objects: ObjectsSettings = ObjectsSettings()


def compose(env_file: Path) -> tuple[Addresses, ObjectsSettings]:
    """Where the stack of docker-compose.yml is, by the file that compose takes its variables from.

    Raises:
        ShipwayError: there is no such file.
    """
    try:
        lines = env_file.read_text(encoding="utf-8").splitlines()
    except OSError as err:
        raise ShipwayError(f"{env_file}: {err.strerror}; copy .env.example, and start: docker compose up") from err
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    # As compose does: the environment wins over the file.
    known = {name.strip(): value.strip() for name, _, value in pairs} | dict(os.environ)

    def port(name: str, usual: int) -> str:
        return f"127.0.0.1:{known.get(f'SHIPWAY_{name}_PORT', usual)}"

    where = Addresses(
        gateway=f"http://{port('GATEWAY', 8080)}",
        monitor=f"http://{port('MONITOR', 8090)}",
        kafka=KafkaSettings(bootstrap=port("KAFKA", 9094)),
        trainer=f"http://{port('TRAINER', 8101)}",
    )
    objects = ObjectsSettings.model_validate(
        {
            "url": "s3://shipway",
            "endpoint": f"http://{port('OBJECTS', 9000)}",
            "access_key": known.get("OBJECTS_ACCESS_KEY", ""),
            "secret_key": known.get("OBJECTS_SECRET_KEY", ""),
        }
    )
    return where, objects


def objects(folder: Path = DEFAULT_FOLDER, env_file: Path | None = None) -> ObjectsSettings:
    """Where the object store is: compose's by its file, else the running stack's folder, else as the environment says.

    A stack on S3 has its keys from the environment, and so has whoever asks.

    Raises:
        ShipwayError: there is no such file.
    """
    if env_file is not None:
        return compose(env_file)[1]
    state = read_state(folder)
    if state is not None and state.objects_url.startswith("file:"):
        return ObjectsSettings(url=state.objects_url)
    return ClientSettings().objects


def addresses(
    folder: Path = DEFAULT_FOLDER,
    gateway: str | None = None,
    monitor: str | None = None,
    kafka: str | None = None,
    trainer: str | None = None,
) -> Addresses:
    """Where Shipway is: what was given, else the running embedded stack's addresses, else the defaults."""
    state = read_state(folder)
    default = Addresses()
    kafka_settings = ClientSettings().kafka
    if kafka is not None:
        kafka_settings = kafka_settings.model_copy(update={"bootstrap": kafka})
    elif state is not None:
        kafka_settings = state.kafka_settings
    return Addresses(
        gateway=(gateway or (state.gateway_url if state else None) or default.gateway).rstrip("/"),
        monitor=(monitor or (state.monitor_url if state else None) or default.monitor).rstrip("/"),
        kafka=kafka_settings,
        trainer=(trainer or (state.service_urls.get("trainer") if state else None) or default.trainer).rstrip("/"),
        objects=objects(folder),
    )
