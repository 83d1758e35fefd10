"""Trying a model in a child process with limits before a server has it: it loads, and gives its golden scores.

The structural proof (modelfile) comes first; this is the second wall, for what only LightGBM itself can show. What the
child writes is as little trusted as the model: a hostile file may have taken it over.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import Permanent, Transient

Matrix = npt.NDArray[np.float64]
RTOL, ATOL = 1e-6, 1e-9
# No passwords or keys of the service's go to the child.
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_TOLD_BYTES = 4096
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory")


class Trials:
    """Tries models, each in a child process of its own, and keeps one child waiting, its libraries loaded.

    A child starts in a third of a second, which a release would wait for otherwise. Threads may share this.
    """

    def __init__(self, *, timeout_s: float = 30.0, memory_mb: int = 4096) -> None:
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._spare: _Child | None = None
        self._taking = threading.Lock()
        self._closed = False

    def warm(self) -> None:
        """Sees to it that a child waits. A machine without room for one is no error: the trial will say so."""
        with self._taking:
            if self._spare is None and not self._closed:
                with suppress(OSError):
                    self._spare = _Child()

    def try_model(self, model_text: bytes, golden_rows: Matrix, golden_scores: Matrix) -> None:
        """As try_in_child; makes ready for the next one."""
        with self._taking:
            child, self._spare = self._spare, None
        try:
            _try(child, model_text, golden_rows, golden_scores, self._timeout_s, self._memory_mb)
        finally:
            self.warm()

    def close(self) -> None:
        """Ends the child that waits."""
        with self._taking:
            self._closed = True
            if self._spare is not None:
                self._spare.end()
                self._spare = None


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
    _try(None, model_text, golden_rows, golden_scores, timeout_s, memory_mb)


def _try(
    child: "_Child | None",
    model_text: bytes,
    golden_rows: Matrix,
    golden_scores: Matrix,
    timeout_s: float,
    memory_mb: int,
) -> None:
    try:
        child = child or _Child()
        try:
            (child.folder / "model.txt").write_bytes(model_text)
            np.save(child.folder / "rows.npy", np.ascontiguousarray(golden_rows))
            child.run(golden_scores.shape[1], timeout_s, memory_mb)
            scores = read_scores(child.folder / "scores.npy", golden_scores.shape)
        finally:
            child.end()
    except OSError as err:
        raise Transient(f"trial: this machine could not do it: {err}") from err
    compare(scores, golden_scores)


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


class _Child:
    """A process that has its libraries loaded, and waits for one model in its folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shipway-trial-"))
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            # Into a file with a size limit: a child that never stops talking must not fill this process's memory.
            with (self.folder / "stderr.txt").open("wb") as told:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "shipway.bundle.trial_child", str(self.folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=told,
                    env=passed_on | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                )
        except OSError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def run(self, outputs: int, timeout_s: float, memory_mb: int) -> None:
        """Lets it go. The clock on the wall ends a hang; its CPU limit is for a child whose parent has died.

        Raises:
            Permanent: it did not end well.
        """
        try:
            self._process.communicate(f"{outputs} {memory_mb} {int(timeout_s) + 2}\n".encode(), timeout_s)
        except subprocess.TimeoutExpired as err:
            raise Permanent(f"trial: the model did not answer in {timeout_s:g} s") from err
        code = self._process.returncode
        if code == 0:
            return
        text = _tail(self.folder / "stderr.txt")
        if any(sign in text for sign in _OUT_OF_MEMORY):
            raise Permanent(f"trial: the model needs more than {memory_mb} MB")
        if code < 0:
            raise Permanent(f"trial: the model crashed a process ({_signal_name(-code)})")
        last = text.strip().splitlines()[-1:] or [f"no message, exit code {code}"]
        raise Permanent(f"trial: the model could not be used: {last[0][:300]}")

    def end(self) -> None:
        """Kills it if it is still there, and removes its folder."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _tail(path: Path) -> str:
    with path.open("rb") as told:
        told.seek(max(0, path.stat().st_size - _TOLD_BYTES))
        return told.read(_TOLD_BYTES).decode("utf-8", "replace")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
