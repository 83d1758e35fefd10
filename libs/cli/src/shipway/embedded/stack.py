"""What the embedded stack consists of, as data: which processes, with which arguments and settings, after which.

``build`` is pure; ``prepare`` is ``build`` with ports chosen and the data folder's password read.
"""

import signal
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shipway.contract.errors import InvalidField
from shipway.contract.topics import SERVICES
from shipway.embedded import broker, postgres
from shipway.embedded.ports import HOST, USUAL, choose_ports
from shipway.embedded.state import BROKER_ENDS_WITHIN_S, kafka_settings
from shipway.runtime.settings import KafkaSettings

Kind = Literal["postgres", "broker", "service"]
# How far each gives way where all share cores: releases to predictions, and to both of them trainings, judgements and
# the log's reader.
NICENESS = {"broker": 3, "releaser": 3, "trainer": 15, "evaluator": 15, "monitor": 15}
_ANSWERING = ("predictor", "gateway")


@dataclass(frozen=True)
class ProcessSpec:
    """One process: how it is started, what must be ready before its first start, how it is ended.

    ``niceness`` is how far it gives way to others on the same cores (0 to 19).
    ``kind`` says how readiness is seen: a service's by GET /readyz on ``port`` (without a port it is ready when
    it runs), the others' by their protocol. ``folder`` is its data, if it keeps any. ``death_signal`` is what it
    gets from the kernel when the supervisor dies.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    kind: Kind = "service"
    port: int | None = None
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    # A service's clean stop needs the broker and the database, which go at the same moment; and only SIGKILL
    # ends a process that is paused or hangs.
    death_signal: signal.Signals = signal.SIGKILL
    # A service ends its own stop after 25 s.
    stop_within_s: float = 28.0
    niceness: int = 0

    @property
    def url(self) -> str | None:
        """The base URL of a service that has a port."""
        return f"http://{HOST}:{self.port}" if self.kind == "service" and self.port is not None else None


@dataclass(frozen=True)
class External:
    """Parts that run elsewhere: the stack leaves them out and uses these addresses.

    ``objects`` holds OBJECTS settings by key, such as {"URL": "s3://bucket", "ENDPOINT": ..., "ACCESS_KEY": ...}.
    """

    kafka: str | None = None
    database_url: str | None = None
    objects: Mapping[str, str] | None = None


@dataclass(frozen=True)
class StackPlan:
    """A whole stack. Addresses are those that its services use; ``secret`` is its own PostgreSQL's password."""

    data_folder: Path
    processes: tuple[ProcessSpec, ...]
    kafka: str
    database_url: str
    objects_url: str
    secret: str = ""
    durable: bool = True
    doorbell: str = ""

    def __post_init__(self) -> None:
        """Holds that every process comes after earlier ones only, so that starting and stopping end."""
        earlier: set[str] = set()
        for spec in self.processes:
            if spec.name in earlier or not earlier.issuperset(spec.after):
                raise ValueError(f"{spec.name} is there twice, or comes after what is not before it: {spec.after}")
            earlier.add(spec.name)

    @property
    def kafka_settings(self) -> KafkaSettings:
        """How this stack's broker is used."""
        return kafka_settings(self.kafka, self.doorbell)

    def process(self, name: str) -> ProcessSpec:
        """The process of that name.

        Raises:
            InvalidField: there is none.
        """
        for spec in self.processes:
            if spec.name == name:
                return spec
        raise InvalidField("process", f"{name!r} is not one of {', '.join(p.name for p in self.processes)}")

    def log_file(self, name: str) -> Path:
        """Where a process logs to."""
        return self.data_folder / "logs" / f"{name}.log"


def process_names(services: Collection[str], predictors: int, external: External) -> tuple[str, ...]:
    """The processes of a stack, in the order of their start.

    Raises:
        InvalidField: an unknown service, or fewer than one predictor.
    """
    if unknown := sorted(set(services) - set(SERVICES)):
        raise InvalidField("services", f"{unknown[0]!r} is not one of {', '.join(SERVICES)}")
    if predictors < 1:
        raise InvalidField("predictors", f"{predictors} is too few; give 1 or more, or leave the predictor out")
    names = [] if external.database_url else ["postgres"]
    names += [] if external.kafka else ["broker"]
    for service in (s for s in SERVICES if s in services):
        names += [f"predictor-{n}" for n in range(1, predictors + 1)] if service == "predictor" else [service]
    return tuple(names)


def build(
    data_folder: Path,
    ports: Mapping[str, int],
    secret: str = "",
    *,
    services: Collection[str] = SERVICES,
    predictors: int = 1,
    external: External | None = None,
    env: Mapping[str, str] | None = None,
    durable: bool = True,
) -> StackPlan:
    """The plan of a stack.

    Args:
        data_folder: absolute; everything the stack writes goes there.
        ports: by process name (see ``process_names``).
        secret: the password of the stack's own PostgreSQL.
        services: those to run, of ``contract.topics.SERVICES``.
        predictors: how many instances.
        external: parts that run elsewhere.
        env: further settings of every service, as environment variables.
        durable: False for a data folder that is thrown away.

    Raises:
        InvalidField: see ``process_names``.
    """
    external = external or External()
    names = process_names(services, predictors, external)
    kafka = external.kafka or broker.bootstrap(ports["broker"])
    database_url = external.database_url or postgres.url(ports["postgres"], secret)
    used = kafka_settings(kafka, "" if external.kafka else str(data_folder / "doorbell"))
    objects = external.objects or {"URL": (data_folder / "objects").as_uri()}
    shared = {
        "PYTHONUNBUFFERED": "1",
        "SHIPWAY__KAFKA__BOOTSTRAP": kafka,
        "SHIPWAY__KAFKA__IDLE_FETCH_PAUSE_MS": str(used.idle_fetch_pause_ms),
        "SHIPWAY__KAFKA__DOORBELL": used.doorbell,
        # This broker never gives up a member that was killed; only one of the same name takes its place.
        "SHIPWAY__KAFKA__GROUP_INSTANCE": "" if external.kafka else "embedded",
        "SHIPWAY__DATABASE__URL": database_url,
        **{f"SHIPWAY__OBJECTS__{key.upper()}": value for key, value in objects.items()},
        "SHIPWAY__DATA__FOLDERS": "/",  # it runs as who declares the models
        "SHIPWAY__LOG__FORMAT": "json",
        **(env or {}),
    }
    parts = tuple(name for name in names if name in ("postgres", "broker"))
    specs = [_part(name, data_folder, ports[name], durable) for name in parts]
    specs += [_service(name, data_folder, ports, shared, parts) for name in names if name not in parts]
    return StackPlan(data_folder, tuple(specs), kafka, database_url, objects["URL"], secret, durable, used.doorbell)


def prepare(
    data_folder: Path,
    *,
    services: Collection[str] = SERVICES,
    predictors: int = 1,
    ports: Mapping[str, int] | None = None,
    usual_ports: Mapping[str, int] = USUAL,
    external: External | None = None,
    env: Mapping[str, str] | None = None,
    durable: bool = True,
) -> StackPlan:
    """The plan of a stack on this machine: makes the data folder, its password, and chooses the ports.

    ``ports`` are those asked for, by process name; the others are the usual ones or, where these are in use,
    free ones (``usual_ports={}``: always free ones). See ``build`` for the rest.

    Raises:
        InvalidField: a port asked for is in use; see also ``process_names``.
        MissingWheel: a part's wheel is not installed.
    """
    external = external or External()
    names = process_names(services, predictors, external)
    if unknown := sorted(set(ports or ()) - set(names)):
        raise InvalidField("ports", f"{unknown[0]!r} is not one of {', '.join(names)}")
    data_folder = data_folder.resolve()
    data_folder.mkdir(parents=True, exist_ok=True)
    return build(
        data_folder,
        choose_ports(names, ports, usual_ports),
        "" if external.database_url else postgres.password(data_folder / "postgres.password"),
        services=services,
        predictors=predictors,
        external=external,
        env=env,
        durable=durable,
    )


def _part(name: str, data_folder: Path, port: int, durable: bool) -> ProcessSpec:
    folder = data_folder / name
    if name == "broker":
        # It writes its state on SIGTERM; SIGKILL would lose the last half second.
        return ProcessSpec(
            name,
            tuple(broker.command(folder, port)),
            kind="broker",
            port=port,
            folder=folder,
            death_signal=signal.SIGTERM,
            niceness=NICENESS[name],
            stop_within_s=BROKER_ENDS_WITHIN_S,
        )
    # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients to leave.
    argv = postgres.command(folder, port, durable)
    return ProcessSpec(
        name,
        tuple(argv),
        kind="postgres",
        port=port,
        folder=folder,
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        stop_within_s=20,
    )


def _service(
    name: str, data_folder: Path, ports: Mapping[str, int], shared: Mapping[str, str], after: tuple[str, ...]
) -> ProcessSpec:
    service, port = name.partition("-")[0], ports[name]
    prefix = f"SHIPWAY_{service.upper()}__"
    env = {**shared, f"{prefix}HTTP__HOST": HOST, f"{prefix}HTTP__PORT": str(port)}
    if service in _ANSWERING:
        env[f"{prefix}PREDICTION_LOG__FOLDER"] = str(data_folder / "prediction-log" / name)
    if service == "predictor":
        env[f"{prefix}INSTANCE"] = name
    if service == "monitor" and "trainer" in ports:
        env[f"{prefix}DASHBOARD__TRAINER_URL"] = f"http://{HOST}:{ports['trainer']}"
    niceness = NICENESS.get(service, 0)
    return ProcessSpec(name, (sys.executable, "-m", f"shipway.{service}"), env, after, port=port, niceness=niceness)
