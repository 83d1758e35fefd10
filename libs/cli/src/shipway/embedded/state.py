"""What other programs learn of a running stack: ``stack.json`` in its data folder, and the lock beside it."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from shipway.contract.errors import Permanent
from shipway.runtime.settings import KafkaSettings

SCHEMA: Literal[1] = 1
_STATE = "stack.json"
_LOCK = "supervisor.lock"
BROKER_ENDS_WITHIN_S = 120.0
"""The embedded broker writes all that it holds when it ends, as JSON: 100 MB take 13 s on busy cores, 400 MB 108 s."""
# How long other leftovers are asked, and then given to vanish when killed.
_ASKED_S, _KILLED_S = 15.0, 2.0

# The embedded broker answers an empty fetch at once instead of waiting; consumers pause themselves (idle_fetch.py).
_IDLE_FETCH_PAUSE_MS = 20


def kafka_settings(bootstrap: str, doorbell: str) -> KafkaSettings:
    """How a stack's broker is used: the embedded one with pauses and a doorbell, any other (which has none) without."""
    pause_ms = _IDLE_FETCH_PAUSE_MS if doorbell else 0
    return KafkaSettings(bootstrap=bootstrap, idle_fetch_pause_ms=pause_ms, doorbell=doorbell)


class StackRunning(Permanent):
    """Another supervisor runs on the data folder."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RunningProcess(_Part):
    """A process of the stack. ``born`` tells it from a later one with the same pid; ``url`` is a service's."""

    name: str
    kind: str
    state: str
    pid: int | None
    born: str | None
    port: int | None
    url: str | None
    log: Path
    restarts: int


class StackState(_Part):
    """Where a running stack is. It holds the database's password: the file is its owner's only."""

    schema_version: Literal[1] = SCHEMA
    supervisor_pid: int
    supervisor_born: str | None
    gateway_url: str | None
    monitor_url: str | None
    kafka: str
    database_url: str
    objects_url: str
    processes: tuple[RunningProcess, ...]
    doorbell: str = ""

    @property
    def kafka_settings(self) -> KafkaSettings:
        """How its broker is used, which may be the embedded one of a release without a doorbell."""
        return KafkaSettings(bootstrap=self.kafka, idle_fetch_pause_ms=_IDLE_FETCH_PAUSE_MS, doorbell=self.doorbell)

    @property
    def service_urls(self) -> dict[str, str]:
        """The base URL of every service, by process name."""
        return {p.name: p.url for p in self.processes if p.url is not None}


def read_state(data_folder: Path) -> StackState | None:
    """The state of the stack that runs on the folder; None when none does (also when its supervisor was killed)."""
    state = last_state(data_folder)
    if state is None or born(state.supervisor_pid) != state.supervisor_born:
        return None
    return state


def last_state(data_folder: Path) -> StackState | None:
    """What was last written, by a supervisor that may be dead. None when there is nothing readable."""
    try:
        return StackState.model_validate_json((data_folder / _STATE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def write_state(data_folder: Path, state: StackState) -> None:
    """Replaces the state in one step."""
    new = data_folder / f"{_STATE}.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(state.model_dump_json(indent=2))
    new.replace(data_folder / _STATE)


def remove_state(data_folder: Path) -> None:
    """Says that no stack runs on the folder."""
    (data_folder / _STATE).unlink(missing_ok=True)


@contextmanager
def locked(data_folder: Path) -> Iterator[None]:
    """Holds the data folder for this supervisor; the kernel gives it free when the process ends, however it ends.

    Raises:
        StackRunning: another supervisor holds it.
    """
    with (data_folder / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = read_state(data_folder)
            pid = f" (pid {state.supervisor_pid})" if state else ""
            raise StackRunning(
                f"a stack already runs on {data_folder}{pid}: stop it with 'shipway down', or choose another --data"
            ) from None
        yield


def end_leftovers(data_folder: Path) -> list[str]:
    """Ends what a killed supervisor left behind, or waits for it to end; gives the names.

    Blocks for up to 15 s, or as long as a broker may take.
    """
    state = last_state(data_folder)
    if state is None:
        return []
    left = {p.name: p for p in state.processes if _alive(p)}
    names = list(left)
    patience_s = BROKER_ENDS_WITHIN_S if any(p.kind == "broker" for p in left.values()) else _ASKED_S
    for kill, within_s in ((False, patience_s), (True, _KILLED_S)):
        for process in left.values():
            asked = signal.SIGINT if process.kind == "postgres" else signal.SIGTERM
            _send(process, signal.SIGKILL if kill else asked)
        deadline = time.monotonic() + within_s
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = {name: p for name, p in left.items() if _alive(p)}
    return names


def born(pid: int) -> str | None:
    """When a process was started, in the system's own words; None when it is not running (a zombie is not)."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return asked.stdout.strip() or None


def _alive(process: RunningProcess) -> bool:
    return process.pid is not None and process.born is not None and born(process.pid) == process.born


def _send(process: RunningProcess, number: signal.Signals) -> None:
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
