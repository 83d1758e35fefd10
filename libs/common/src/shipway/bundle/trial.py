"""Trying a model in a child process with limits before a server has it: it loads, and gives its golden scores.

The structural proof (modelfile) comes first, in the process that forks the child, so that a server's own threads never
wait for it; this is the second wall, for what only LightGBM itself can show. What the child writes is as little trusted
as the model: a hostile file may have taken it over.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from shipway.bundle.modelfile import ModelFacts
from shipway.contract.errors import InvalidField, Permanent, Transient

Matrix = npt.NDArray[np.float64]
T = TypeVar("T")
RTOL, ATOL = 1e-6, 1e-9
# No passwords or keys of the service's go to the child.
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_TOLD_BYTES = 4096
# A child that is late is killed by the process that forked it; this is for one that does not.
_GRACE_S = 20.0
# 20 ms a megabyte, of 500 MB at most, by a process that gives way to every other.
_PROOF_S = 300.0
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory")


@dataclass(frozen=True)
class Scored:
    """What a model gave for rows: scores (rows, outputs), and the seconds that single rows took, of the first ones."""

    scores: Matrix
    seconds: Matrix


class Trials:
    """Tries models, each in a child process of its own, forked by a process that waits with its libraries loaded.

    Such a process takes a third of a second to start, which a release would wait for otherwise, and which would be
    taken from predictions. It gives way to servers on the same cores. Threads may share this.
    """

    def __init__(self, *, timeout_s: float = 30.0, memory_mb: int = 4096) -> None:
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._waiting: list[_Origin] = []
        self._taking = threading.Lock()
        self._closed = False

    def warm(self) -> None:
        """Sees to it that a process waits. A machine without room for one is no error: the trial will say so."""
        if not self._waiting:
            with suppress(OSError):
                self._put_back(_Origin())

    def prove(self, model_text: bytes, features: int, golden_rows: Matrix, golden_scores: Matrix) -> ModelFacts:
        """Proves the model as check_model_text does, and tries it as try_in_child does; what the proof found.

        Raises:
            Permanent, Transient: as these two.
        """
        outputs = golden_scores.shape[1]

        def work(origin: _Origin, folder: Path) -> ModelFacts:
            facts = origin.prove(folder, features, outputs, self._timeout_s, self._memory_mb)
            _hold(folder, golden_scores)
            return facts

        return self._with_origin(work, model_text, golden_rows)

    def try_model(self, model_text: bytes, golden_rows: Matrix, golden_scores: Matrix) -> None:
        """As try_in_child."""

        def work(origin: _Origin, folder: Path) -> None:
            origin.run(folder, golden_scores.shape[1], self._timeout_s, self._memory_mb)
            _hold(folder, golden_scores)

        self._with_origin(work, model_text, golden_rows)

    def score(self, model_text: bytes, rows: Matrix, outputs: int, timed: int = 0) -> Scored:
        """As score_in_child."""

        def work(origin: _Origin, folder: Path) -> Scored:
            origin.run(folder, outputs, self._timeout_s, self._memory_mb, timed=timed)
            scores = read_scores(folder / "scores.npy", (len(rows), outputs))
            return Scored(scores, read_scores(folder / "seconds.npy", (timed,)) if timed else np.empty(0))

        return self._with_origin(work, model_text, rows)

    def _with_origin(self, work: Callable[["_Origin", Path], T], model_text: bytes, rows: Matrix) -> T:
        """Has a waiting process, or a new one, work on a folder with the model and rows."""
        with self._taking:
            origin = self._waiting.pop() if self._waiting else None
        try:
            origin = origin or _Origin()
            folder = Path(tempfile.mkdtemp(prefix="shipway-trial-"))
            try:
                (folder / "model.txt").write_bytes(model_text)
                np.save(folder / "rows.npy", np.ascontiguousarray(rows))
                return work(origin, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as err:
            raise Transient(f"trial: this machine could not do it: {err}") from err
        finally:
            if origin is not None:
                self._put_back(origin)

    def close(self) -> None:
        """Ends the processes that wait."""
        with self._taking:
            self._closed = True
            waiting, self._waiting = self._waiting, []
        for origin in waiting:
            origin.end()

    def _put_back(self, origin: "_Origin") -> None:
        with self._taking:
            kept = origin.alive and not self._closed
            if kept:
                self._waiting.append(origin)
        if not kept:
            origin.end()


def try_in_child(
    model_text: bytes,
    golden_rows: Matrix,
    golden_scores: Matrix,
    *,
    timeout_s: float = 30.0,
    memory_mb: int = 4096,
) -> None:
    """Loads the model in a child process and compares its scores with the golden ones. Blocks.

    Args:
        model_text: the model, already proven by check_model_text.
        golden_rows: (rows, features), NaN where a value is missing.
        golden_scores: (rows, outputs), what the model gave for them in training.
        timeout_s: for the whole trial; the child is killed after that.
        memory_mb: the child's address space.

    Raises:
        Permanent: it crashed, hung, took too much memory, or gave other scores; the message says which.
        Transient: this machine could not do the trial, for want of disk or processes.
    """
    trials = Trials(timeout_s=timeout_s, memory_mb=memory_mb)
    try:
        trials.try_model(model_text, golden_rows, golden_scores)
    finally:
        trials.close()


def score_in_child(
    model_text: bytes, rows: Matrix, outputs: int, *, timed: int = 0, timeout_s: float = 60.0, memory_mb: int = 4096
) -> Scored:
    """The scores of a proven model, made in a child process with the limits of a trial. Blocks.

    ``timed``: so many of the rows, at most all of them, are scored one by one as well. Raises as try_in_child.
    """
    trials = Trials(timeout_s=timeout_s, memory_mb=memory_mb)
    try:
        return trials.score(model_text, rows, outputs, timed)
    finally:
        trials.close()


def _hold(folder: Path, golden_scores: Matrix) -> None:
    compare(read_scores(folder / "scores.npy", golden_scores.shape), golden_scores)


def read_scores(path: Path, shape: tuple[int, ...]) -> Matrix:
    """What the child wrote, if it is a float64 array of this shape; the file's own word on its size is not believed.

    Raises:
        Permanent: it is not.
    """
    try:
        # Mapped, so that a forged header can neither take memory nor have anything unpickled.
        scores = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, OverflowError) as err:
        raise Permanent("trial: the model left no readable scores") from err
    if not isinstance(scores, np.ndarray) or scores.dtype != np.float64:
        raise Permanent("trial: the model left something else than scores")
    if scores.shape != shape:
        raise Permanent(f"trial: gave scores of shape {scores.shape}; {shape} was expected")
    return np.array(scores)


def compare(scores: Matrix, golden: Matrix) -> None:
    """Holds scores against the golden ones. NaN equals nothing.

    Raises:
        Permanent: with the first row that differs.
    """
    if scores.shape != golden.shape:
        raise Permanent(f"trial: gave scores of shape {scores.shape}; {golden.shape} was expected")
    wrong = ~np.isclose(scores, golden, rtol=RTOL, atol=ATOL).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise Permanent(f"trial: golden row {row} gave {scores[row].tolist()}; {golden[row].tolist()} was expected")


class _Origin:
    """A process that has its libraries loaded, and forks a child for each model (see trial_child)."""

    def __init__(self) -> None:
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shipway.bundle.trial_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=passed_on | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    @property
    def alive(self) -> bool:
        """Whether it can fork another one."""
        return self._process.poll() is None

    def prove(self, folder: Path, features: int, outputs: int, timeout_s: float, memory_mb: int) -> ModelFacts:
        """Proves the model's structure, then does as ``run``; gives what the proof found.

        Raises:
            InvalidField: it is not such a model. Permanent, OSError: as of run.
        """
        self._order(folder, outputs, timeout_s, memory_mb, features=features)
        found = json.loads(self._answer(_PROOF_S))
        if "problem" in found:
            raise InvalidField(found["field"], found["problem"])
        self._ended(folder, timeout_s, memory_mb)
        return ModelFacts(**found)

    def run(self, folder: Path, outputs: int, timeout_s: float, memory_mb: int, **more: int) -> None:
        """Lets a child go. Its CPU limit is for one whose parents have both died.

        Raises:
            Permanent: it did not end well. OSError: it never began.
        """
        self._order(folder, outputs, timeout_s, memory_mb, **more)
        self._ended(folder, timeout_s, memory_mb)

    def _order(self, folder: Path, outputs: int, timeout_s: float, memory_mb: int, **more: int) -> None:
        order = {"folder": str(folder), "outputs": outputs, "memory_mb": memory_mb, "seconds": timeout_s, **more}
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then it is gone, and nothing is read
            self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def _ended(self, folder: Path, timeout_s: float, memory_mb: int) -> None:
        how, _, number = self._answer(timeout_s + _GRACE_S).partition(" ")
        if how == "late":
            raise Permanent(f"trial: the model did not answer in {timeout_s:g} s")
        if number == "0" and how == "exit":
            return
        text = _tail(folder / "stderr.txt")
        if any(sign in text for sign in _OUT_OF_MEMORY):
            raise Permanent(f"trial: the model needs more than {memory_mb} MB")
        if how == "signal":
            raise Permanent(f"trial: the model crashed a process ({_signal_name(int(number))})")
        last = text.strip().splitlines()[-1:] or [f"no message, exit code {number}"]
        raise Permanent(f"trial: the model could not be used: {last[0][:300]}")

    def _answer(self, within_s: float) -> str:
        process = self._process
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], within_s)[0]:
            self.end()
        answer = bytes(process.stdout.readline()).decode("ascii", "replace").strip() if self.alive else ""
        if not answer:
            self.end()
            raise OSError("the process that was to try it is gone")
        return answer

    def end(self) -> None:
        """Kills it, and its child with it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as told:
        told.seek(max(0, path.stat().st_size - _TOLD_BYTES))
        return told.read(_TOLD_BYTES).decode("utf-8", "replace")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
