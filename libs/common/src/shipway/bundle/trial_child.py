"""The process behind bundle.trial: it has its libraries loaded, and forks a child for each model.

An order is a line of JSON on standard input: folder (with ``model.txt`` and ``rows.npy``), outputs, memory_mb, seconds,
``timed`` where so many rows are to be timed one by one, and ``features`` where the model is to be proven first. The
answer to a proof is a line of JSON on standard output: what it found, or field and problem, and then nothing is tried.
The trial's is ``exit N``, ``signal N`` or ``late``.
It imports numpy and LightGBM's C library only, and never lets LightGBM read a model itself: a fork takes a millisecond,
where a process takes a third of a second. What it can do before the fork it does, as all that the child touches first
is copied for it page by page. Where standard input ends, its parent has died: it ends too, and takes the child and its
folder with it.
"""

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from shipway.bundle.capi import Booster, LightGBMError, Matrix, check, library
from shipway.bundle.modelfile import check_model_text
from shipway.contract.errors import InvalidField

_PR_SET_PDEATHSIG = 1
_MAX_ORDER = 65536
# Of 19: a third of what a server's thread is given where both want the same core.
_NICENESS = 5


def main() -> None:
    """Takes orders until standard input ends."""
    os.nice(_NICENESS)
    library()
    while line := os.read(0, _MAX_ORDER):
        _obey(json.loads(line))


def _obey(order: dict[str, Any]) -> None:
    folder = Path(order["folder"])
    text = (folder / "model.txt").read_bytes()
    if "features" not in order or _proven(text, order):
        rows = np.load(folder / "rows.npy", allow_pickle=False)
        os.write(1, _trial(text, rows, order).encode() + b"\n")


def _proven(text: bytes, order: dict[str, Any]) -> bool:
    """Proves the model and says what that found; whether it may be tried."""
    try:
        found = asdict(check_model_text(text, features=order["features"], outputs=order["outputs"]))
    except InvalidField as err:
        found = {"field": err.field, "problem": err.problem}
    os.write(1, json.dumps(found).encode() + b"\n")
    return "problem" not in found


def _trial(text: bytes, rows: Matrix, order: dict[str, Any]) -> str:
    folder, until = Path(order["folder"]), time.monotonic() + order["seconds"]
    child = os.fork()
    if child == 0:
        _in_child(text, rows, order)
    ended = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([ended, 0], [], [], max(0.0, until - time.monotonic()))
    finally:
        os.close(ended)
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if ended in ready:
        code = os.waitstatus_to_exitcode(status)
        return f"exit {code}" if code >= 0 else f"signal {-code}"
    if ready:  # the parent died
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(0)
    return "late"


def _in_child(text: bytes, rows: Matrix, order: dict[str, Any]) -> None:
    """Limits itself, loads the model, writes its scores. Never returns."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDWR)
    # Its words go to a file with a size limit; the answers to the parent are not its to give.
    told = os.open(Path(order["folder"]) / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((nothing, 0), (nothing, 1), (told, 2)):
        os.dup2(source, target)
    code = 1
    try:
        _score(text, rows, order)
        code = 0
    except (LightGBMError, MemoryError, OSError, ValueError, SystemExit) as err:
        os.write(2, f"{type(err).__name__}: {err}\n".encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _score(text: bytes, rows: Matrix, order: dict[str, Any]) -> None:
    memory, cpu_s = order["memory_mb"] * 2**20, int(order["seconds"]) + 2
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not zero: the scores are written to a file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000_000, 200_000_000))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    booster = Booster(text)
    # Asked before predicting: LightGBM writes what the model gives, whatever room there is for it.
    count = ctypes.c_int64()
    check(library().LGBM_BoosterCalcNumPredict(booster.handle, len(rows), 0, 0, -1, ctypes.byref(count)))
    outputs = order["outputs"]
    if count.value != len(rows) * outputs:
        raise ValueError(f"it gives {count.value} scores for {len(rows)} rows; {len(rows) * outputs} were expected")
    folder = Path(order["folder"])
    (folder / "scores.f64").write_bytes(booster.predict(rows, outputs).tobytes())
    if order.get("timed"):
        (folder / "seconds.f64").write_bytes(_times(booster, rows[: order["timed"]], outputs).tobytes())


def _times(booster: Booster, rows: Matrix, outputs: int) -> Matrix:
    """The seconds of each row, scored alone."""
    seconds = np.empty(len(rows))
    for i in range(len(rows)):
        begun = time.perf_counter()
        booster.predict(rows[i : i + 1], outputs)
        seconds[i] = time.perf_counter() - begun
    return seconds


if __name__ == "__main__":
    main()
