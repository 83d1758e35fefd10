"""The child of bundle.trial: loads its libraries, waits for its order, limits itself, loads the model, writes scores.

Argument: its folder, which holds ``model.txt`` and ``rows.npy`` by the time the order comes on standard input: outputs,
memory limit (MB), CPU limit (s). It imports numpy and LightGBM's C library only, so that it starts in a third of a
second. Where the order never comes, its parent has died, and it takes the folder with it.
"""

import ctypes
import resource
import shutil
import sys
from pathlib import Path

import numpy as np

from shipway.bundle.capi import Booster, check, library


def main() -> None:
    """Runs the trial."""
    folder = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not zero: the scores are written to a file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000_000, 200_000_000))
    library()
    order = sys.stdin.readline().split()
    if not order:
        shutil.rmtree(folder, ignore_errors=True)
        return
    outputs, memory_mb, cpu_s = map(int, order)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 2**20, memory_mb * 2**20))
    rows = np.load(folder / "rows.npy", allow_pickle=False)
    booster = Booster((folder / "model.txt").read_bytes())
    # Asked before predicting: LightGBM writes what the model gives, whatever room there is for it.
    count = ctypes.c_int64()
    check(library().LGBM_BoosterCalcNumPredict(booster.handle, len(rows), 0, 0, -1, ctypes.byref(count)))
    if count.value != len(rows) * outputs:
        sys.exit(f"it gives {count.value} scores for {len(rows)} rows; {len(rows) * outputs} were expected")
    np.save(folder / "scores.npy", booster.predict(rows, outputs))


if __name__ == "__main__":
    main()
