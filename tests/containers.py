"""Apache Kafka, PostgreSQL and an S3 server in containers, of the images that docker-compose.yml names."""

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testcontainers.core.container import DockerContainer

from shipway.embedded.ports import HOST, choose_ports
from shipway.embedded.stack import External

COMPOSE = Path(__file__).parent.parent / "docker-compose.yml"


@dataclass
class Containers:
    """The parts that run, by the names that the embedded stack gives them."""

    external: External
    running: dict[str, DockerContainer]

    def kill(self, name: str) -> None:
        """Kills a part with SIGKILL, and starts it again on what it had on its disk."""
        container: Any = self.running[name].get_wrapped_container()
        container.kill()
        container.wait()
        container.start()


def images() -> dict[str, str]:
    """The images of docker-compose.yml, by service."""
    return dict(re.findall(r"^  (\w+):.*\n    image: (\S+)$", COMPOSE.read_text(), re.MULTILINE))


@contextmanager
def containers() -> Iterator[Containers]:
    """The parts, started; removed at the end."""
    # Published on ports of our choice: those that Docker chooses change at a restart, and Kafka must know its own.
    ports = choose_ports(("broker", "postgres", "objects"), usual={})
    password = secrets.token_hex(12)
    parts = {
        "broker": _kafka(images()["kafka"], ports["broker"]),
        "postgres": _postgres(images()["postgres"], ports["postgres"], password),
        "objects": _objects(images()["objects"], ports["objects"], password),
    }
    external = External(
        kafka=f"{HOST}:{ports['broker']}",
        database_url=f"postgresql://shipway:{password}@{HOST}:{ports['postgres']}/shipway",
        objects={
            "URL": "s3://shipway",
            "ENDPOINT": f"http://{HOST}:{ports['objects']}",
            "ACCESS_KEY": "shipway",
            "SECRET_KEY": password,
        },
    )
    with ExitStack() as stack:
        yield Containers(external, {name: stack.enter_context(part) for name, part in parts.items()})


def _published(image: str, inside: int, outside: int) -> DockerContainer:
    return DockerContainer(image).with_bind_ports(inside, outside)


def _kafka(image: str, port: int) -> DockerContainer:
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "OUTSIDE://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"OUTSIDE://{HOST}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "OUTSIDE",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
    }
    return _published(image, 9092, port).with_envs(**settings)


def _postgres(image: str, port: int, password: str) -> DockerContainer:
    who = {"POSTGRES_USER": "shipway", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "shipway"}
    return _published(image, 5432, port).with_envs(**who)


def _objects(image: str, port: int, password: str) -> DockerContainer:
    who = {"MINIO_ROOT_USER": "shipway", "MINIO_ROOT_PASSWORD": password}
    return _published(image, 9000, port).with_envs(**who).with_command("server /data")
