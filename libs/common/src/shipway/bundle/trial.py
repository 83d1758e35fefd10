"""Trying a model in a child process with limits before a server has it: it loads, and gives its golden scores."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import Permanent

Matrix = npt.NDArray[np.float64]
RTOL, ATOL = 1e-6, 1e-9


def try_in_child(
    model_text: bytes,
    golden_rows: Matrix,
    golden_scores: Matrix,
    *,
    timeout_s: float = 30.0,
    memory_mb: int = 4096,
) -> None:
    """Loads the model in a child process and compares its scores with the golden ones. Blocks.

    Raises:
        Permanent: it crashed, hung, took too much memory, or gave other scores; the message says which.
    """
    with tempfile.TemporaryDirectory(prefix="shipway-trial-") as name:
        folder = Path(name)
        (folder / "model.txt").write_bytes(model_text)
        np.save(folder / "rows.npy", np.ascontiguousarray(golden_rows))
        _run(folder, golden_scores.shape[1], timeout_s, memory_mb)
        scores = np.load(folder / "scores.npy", allow_pickle=False)
    compare(scores, golden_scores)


def compare(scores: Matrix, golden: Matrix) -> None:
    """Holds scores against the golden ones.

    Raises:
        Permanent: with the first row that differs.
    """
    if scores.shape != golden.shape:
        raise Permanent(f"trial: gave scores of shape {scores.shape}; {golden.shape} was expected")
    wrong = ~np.isclose(scores, golden, rtol=RTOL, atol=ATOL).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise Permanent(f"trial: golden row {row} gave {scores[row].tolist()}; {golden[row].tolist()} was expected")


def _run(folder: Path, outputs: int, timeout_s: float, memory_mb: int) -> None:
    arguments = [str(folder), str(outputs), str(memory_mb), str(max(1, int(timeout_s)))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "shipway.bundle.trial_child", *arguments],
            check=False,
            capture_output=True,
            timeout=timeout_s,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as err:
        raise Permanent(f"trial: the model did not answer in {timeout_s:.0f} s") from err
    if done.returncode < 0:
        raise Permanent(f"trial: the model crashed a process ({signal.Signals(-done.returncode).name})")
    if done.returncode or not (folder / "scores.npy").exists():
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise Permanent(f"trial: the model could not be used: {last[0][:300]}")
