"""What is measured: each target answers the same rows by the same model, each in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from model import FEATURES, NAME

from shipway.client.rowsbody import MANY

HERE = Path(__file__).parent
PEERS = HERE.parent / ".bench"
Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Target:
    """A running server: where to post, how rows become a body, how an answer becomes probabilities."""

    name: str
    url: str
    body: Callable[[Rows], dict[str, Any]]
    scores: Callable[[Any], list[float]]
    pids: tuple[int, ...]

    def ask(self, rows: Rows) -> list[float]:
        """The probabilities of rows."""
        return self.scores(post(self.url, self.body(rows)))

    def memory_mb(self) -> float:
        """Resident memory of its processes and their children, shared pages counted once (PSS where it is known)."""
        found = {p.pid: p for pid in self.pids for p in _family(pid)}
        return sum(_memory(process) for process in found.values()) / 1e6

    def cpu_s(self) -> float:
        """CPU seconds of its processes and their children so far."""
        found = {p.pid: p for pid in self.pids for p in _family(pid)}
        return sum(_cpu_s(process) for process in found.values())


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(info, "pss", info.rss))


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def post(url: str, body: dict[str, Any]) -> Any:
    """The JSON that a POST gives."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def named(rows: Rows) -> dict[str, Any]:
    """Rows as Shipway's gateway takes them."""
    return {"rows": [dict(zip(FEATURES, row, strict=True)) for row in rows]}


def split(rows: Rows) -> dict[str, Any]:
    """Rows as Shipway's gateway takes them with their columns named once."""
    return {"columns": FEATURES, "data": rows}


def usual(rows: Rows) -> dict[str, Any]:
    """Rows as Shipway's own client sends them, and its documentation says: of many the columns once."""
    return named(rows) if len(rows) < MANY else split(rows)


FORMS = {"usual": usual, "named": named, "split": split}


def tensor(rows: Rows) -> dict[str, Any]:
    """Rows as the Open Inference Protocol has them."""
    data = [value for row in rows for value in row]
    shape = [len(rows), len(FEATURES)]
    return {"inputs": [{"name": "rows", "datatype": "FP64", "shape": shape, "data": data}]}


def of_gateway(answer: Any) -> list[float]:
    """The probabilities in a gateway's answer."""
    return [one["probability"] for one in answer["predictions"]]


def of_tensor(answer: Any) -> list[float]:
    """The numbers in an answer of the Open Inference Protocol."""
    return [float(x) for x in answer["outputs"][0]["data"]]


def installed(peer: str) -> bool:
    """Whether a peer is there; says what to do where it is not."""
    there = (PEERS / peer / "bin" / peer).exists()
    if not there:
        print(f"{peer} is left out: make bench-peers installs it")
    return there


@contextmanager
def bare(model_file: Path, port: int) -> Iterator[Target]:
    """A bare ASGI function on uvicorn with LightGBM's C API: no checks, no log, no metrics."""
    command = [sys.executable, "-m", "uvicorn", "bare:app", "--port", str(port), "--log-level", "error"]
    env = {"MODEL_FILE": str(model_file), "PYTHONPATH": str(HERE)}
    with _running(command, env, port) as pid:
        yield Target(
            "bare uvicorn",
            f"http://127.0.0.1:{port}/predict",
            lambda rows: {"rows": [list(row) for row in rows]},
            lambda answer: [float(x) for x in answer["scores"]],
            (pid,),
        )


@contextmanager
def mlserver(model_file: Path, port: int, folder: Path, names: Sequence[str] = (NAME,)) -> Iterator[Target]:
    """MLServer with its LightGBM runtime, one worker, as its documentation has it; one model under these names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(
        json.dumps(
            {
                "http_port": port,
                "grpc_port": port + 1,
                "metrics_port": port + 2,
                "host": "127.0.0.1",
                "parallel_workers": 0,
                "debug": False,
                "logging_settings": None,
            }
        )
    )
    for name in names:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": name,
                    "implementation": "mlserver_lightgbm.LightGBMModel",
                    "parameters": {"uri": str(model_file), "version": "1"},
                }
            )
        )
    command = [str(PEERS / "mlserver" / "bin" / "mlserver"), "start", str(folder)]
    with _running(command, {}, port) as pid:
        yield Target("MLServer", f"http://127.0.0.1:{port}/v2/models/{names[0]}/infer", tensor, of_tensor, (pid,))


@contextmanager
def bentoml(model_file: Path, port: int) -> Iterator[Target]:
    """BentoML's service class, one worker."""
    command = [str(PEERS / "bentoml" / "bin" / "bentoml"), "serve", "bento:Bench", "--port", str(port)]
    env = {"MODEL_FILE": str(model_file), "BENTOML_DO_NOT_TRACK": "true", "PYTHONPATH": str(HERE)}
    with _running(command, env, port, cwd=HERE) as pid:
        yield Target(
            "BentoML",
            f"http://127.0.0.1:{port}/predict",
            lambda rows: {"rows": [list(row) for row in rows]},
            lambda answer: [float(x) for x in answer],
            (pid,),
        )


@contextmanager
def _running(command: list[str], env: dict[str, str], port: int, cwd: Path | None = None) -> Iterator[int]:
    limited = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(
        command,
        env=dict(os.environ, **limited, **env),
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _until_listening(process, port, command)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until_listening(process: "subprocess.Popen[bytes]", port: int, command: list[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{' '.join(command)} does not answer on port {port}")
