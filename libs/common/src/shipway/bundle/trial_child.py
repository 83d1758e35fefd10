"""The child of bundle.trial: limits itself, loads the model from a file, scores rows, writes the scores.

Arguments: folder, outputs, memory limit (MB), CPU limit (s). The folder holds ``model.txt`` and ``rows.npy``.
It imports numpy and LightGBM's C library only, so that it starts in a third of a second.
"""

import ctypes
import resource
import sys
from pathlib import Path


def main() -> None:
    """Runs the trial."""
    folder, outputs, memory_mb, cpu_s = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    # Not zero: the scores are written to a file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000_000, 200_000_000))
    import numpy as np

    from shipway.bundle.capi import Booster, check, library

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
