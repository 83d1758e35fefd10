"""Trying a model in a child process with limits before a server has it: it loads, and gives its golden scores.

The structural proof (modelfile) comes first, in the process that forks the child, so that a server's own threads never
wait for it; this is the second wall, for what only LightGBM itself can show. What the child writes is as little trusted
as the model: a hostile file may have taken it over.
"""

import shutil
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
from shipway.bundle.trial_origin import Origin
from shipway.bundle.trial_scores import compare, read_scores
from shipway.contract.errors import Transient

Matrix = npt.NDArray[np.float64]
T = TypeVar("T")


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
        self._waiting: list[Origin] = []
        self._taking = threading.Lock()
        self._closed = False

    def warm(self) -> None:
        """Sees to it that a process waits. A machine without room for one is no error: the trial will say so."""
        if not self._waiting:
            with suppress(OSError):
                self._put_back(Origin())

    def prove(self, model_text: bytes, features: int, golden_rows: Matrix, golden_scores: Matrix) -> ModelFacts:
        """Proves the model as check_model_text does, and tries it as try_in_child does; what the proof found.

        Raises:
            Permanent, Transient: as these two.
        """
        outputs = golden_scores.shape[1]

        def work(origin: Origin, folder: Path) -> ModelFacts:
            facts = origin.prove(folder, features, outputs, self._timeout_s, self._memory_mb)
            _hold(folder, golden_scores)
            return facts

        return self._with_origin(work, model_text, golden_rows)

    def try_model(self, model_text: bytes, golden_rows: Matrix, golden_scores: Matrix) -> None:
        """As try_in_child."""

        def work(origin: Origin, folder: Path) -> None:
            origin.run(folder, golden_scores.shape[1], self._timeout_s, self._memory_mb)
            _hold(folder, golden_scores)

        self._with_origin(work, model_text, golden_rows)

    def score(self, model_text: bytes, rows: Matrix, outputs: int, timed: int = 0) -> Scored:
        """As score_in_child."""

        def work(origin: Origin, folder: Path) -> Scored:
            origin.run(folder, outputs, self._timeout_s, self._memory_mb, timed=timed)
            scores = read_scores(folder / "scores.f64", (len(rows), outputs))
            return Scored(scores, read_scores(folder / "seconds.f64", (timed,)) if timed else np.empty(0))

        return self._with_origin(work, model_text, rows)

    def _with_origin(self, work: Callable[[Origin, Path], T], model_text: bytes, rows: Matrix) -> T:
        """Has a waiting process, or a new one, work on a folder with the model and rows."""
        with self._taking:
            origin = self._waiting.pop() if self._waiting else None
        try:
            origin = origin or Origin()
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

    def _put_back(self, origin: Origin) -> None:
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
    compare(read_scores(folder / "scores.f64", golden_scores.shape), golden_scores)
