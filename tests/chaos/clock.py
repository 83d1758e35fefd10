"""Clocks that can be set wrong, one a process: a small library between the process and the system's clock."""

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """A process's clock; ``env`` must be in its environment when it starts."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.env = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(file)}
        self.set(0)

    def set(self, ahead_s: int) -> None:
        """Moves it to so many seconds before the time; at once."""
        if not self._file.exists():
            self._file.write_bytes(bytes(8))
        with self._file.open("r+b") as file:  # the process has it mapped: it must stay the same file
            file.write(ahead_s.to_bytes(8, sys.byteorder, signed=True))


def library(folder: Path) -> Path | None:
    """Compiles the library into a folder; None where this machine can't."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        return None
    made = folder / "clock.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"], check=True)
    return made
