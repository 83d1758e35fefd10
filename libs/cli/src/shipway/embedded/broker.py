"""Runs the Kafka-protocol broker of the ``noida-db`` wheel: its arguments and its readiness."""

from pathlib import Path

from shipway.embedded.ports import HOST
from shipway.embedded.wheels import folder_of
from shipway.runtime import kafka
from shipway.runtime.settings import KafkaSettings


def command(folder: Path, port: int) -> list[str]:
    """The arguments that run the broker with its state in a folder.

    The binary itself, not the wheel's script: that one would wrap it in a second process, which signals miss.
    """
    binary = folder_of("noida_db", "noida-db") / "noida-db"
    return [str(binary), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(folder)]


def bootstrap(port: int) -> str:
    """The address that clients are given."""
    return f"{HOST}:{port}"


async def probe(port: int) -> None:
    """Asks for the broker's metadata.

    Raises:
        Transient: it does not answer yet.
    """
    await kafka.probe(KafkaSettings(bootstrap=bootstrap(port), request_timeout_ms=2000))
