"""Which Shipway a command speaks to: the options, else the environment, else the stack running on a data folder."""

from pathlib import Path
from typing import Annotated

import typer

from shipway.client import Addresses
from shipway.embedded.state import read_state
from shipway.runtime.settings import KafkaSettings

DEFAULT_FOLDER = Path(".shipway")

Folder = Annotated[
    Path, typer.Option("--data", envvar="SHIPWAY_DATA", help="data folder of the embedded stack", show_default=True)
]
Gateway = Annotated[str | None, typer.Option("--gateway", envvar="SHIPWAY_GATEWAY_URL", help="URL of the gateway")]
Monitor = Annotated[str | None, typer.Option("--monitor", envvar="SHIPWAY_MONITOR_URL", help="URL of the monitor")]
Kafka = Annotated[str | None, typer.Option("--kafka", envvar="SHIPWAY__KAFKA__BOOTSTRAP", help="host:port of Kafka")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON to standard output, for programs")]


def addresses(
    folder: Path = DEFAULT_FOLDER, gateway: str | None = None, monitor: str | None = None, kafka: str | None = None
) -> Addresses:
    """Where Shipway is: what was given, else the running embedded stack's addresses, else the defaults."""
    state = read_state(folder)
    default = Addresses()
    kafka_settings = default.kafka
    if kafka is not None:
        kafka_settings = KafkaSettings(bootstrap=kafka)
    elif state is not None:
        # The embedded broker does not long-poll (see runtime.idle_fetch).
        kafka_settings = KafkaSettings(bootstrap=state.kafka, idle_fetch_pause_ms=20)
    return Addresses(
        gateway=(gateway or (state.gateway_url if state else None) or default.gateway).rstrip("/"),
        monitor=(monitor or (state.monitor_url if state else None) or default.monitor).rstrip("/"),
        kafka=kafka_settings,
    )
