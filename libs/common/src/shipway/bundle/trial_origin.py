"""The process that a model's trial comes from, seen from its parent: orders to it, and how its child has ended."""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from shipway.bundle.modelfile import ModelFacts
from shipway.bundle.trial_scores import open_left
from shipway.contract.errors import InvalidField, Permanent

# No passwords or keys of the service's go to the child.
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_TOLD_BYTES = 4096
# A child that is late is killed by the process that forked it; this is for one that does not.
_GRACE_S = 20.0
# 20 ms a megabyte, of 500 MB at most, by a process that gives way to every other.
_PROOF_S = 300.0
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory")


class Origin:
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
    try:
        with open_left(path) as told:
            told.seek(max(0, os.fstat(told.fileno()).st_size - _TOLD_BYTES))
            return told.read(_TOLD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
