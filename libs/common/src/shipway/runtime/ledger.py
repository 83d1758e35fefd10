"""How many predictions a process answered and settled, by version, in a file that outlives a SIGKILL.

The counts are in memory that is mapped to the file, so writing one costs what a memory write costs, and the kernel
has it when the process is gone. What was answered, but neither settled nor found in a batch, died with the process.
"""

import mmap
import os
import struct
from pathlib import Path

from shipway.runtime import log

_log = log.get(__name__)
Version = tuple[str, int]
"""A model's name and a version's number."""
_SLOT = struct.Struct("<64sIxxxxQQ")
_COUNTS = struct.Struct("<QQ")
_COUNTS_AT = 72
_GROW = 64


class Ledger:
    """The counts of one folder. Settled is what the log has or lacks for good."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        size = os.fstat(self._descriptor).st_size
        size = max(_SLOT.size * _GROW, size - size % _SLOT.size)
        os.ftruncate(self._descriptor, size)
        self._map = mmap.mmap(self._descriptor, size)
        self._places: dict[Version, int] = {}
        self._counts: dict[Version, list[int]] = {}
        self._read()

    def answered(self, version: Version, count: int) -> None:
        """Counts answers."""
        self._add(version, 0, count)

    def settled(self, version: Version, count: int) -> None:
        """Counts answers that the log has, or is known to lack."""
        self._add(version, 1, count)

    def unsettled(self) -> dict[Version, int]:
        """How many answers of each version are not settled."""
        return {version: answered - settled for version, (answered, settled) in self._counts.items()}

    def close(self) -> None:
        """Lets go of the file."""
        self._map.close()
        os.close(self._descriptor)

    def _add(self, version: Version, which: int, count: int) -> None:
        counts = self._counts.get(version)
        if counts is None:
            counts = self._new(version)
        counts[which] += count
        # Both in one write: a process is killed before it or after it, as far as 16 bytes go.
        _COUNTS.pack_into(self._map, self._places[version] + _COUNTS_AT, *counts)

    def _new(self, version: Version) -> list[int]:
        at = len(self._places) * _SLOT.size
        if at + _SLOT.size > len(self._map):
            size = len(self._map) + _SLOT.size * _GROW
            os.ftruncate(self._descriptor, size)
            self._map.resize(size)
        _SLOT.pack_into(self._map, at, version[0].encode()[:64], version[1], 0, 0)
        self._places[version] = at
        counts = self._counts[version] = [0, 0]
        return counts

    def _read(self) -> None:
        for at in range(0, len(self._map), _SLOT.size):
            name, number, answered, settled = _SLOT.unpack_from(self._map, at)
            model = name.rstrip(b"\0").decode("ascii", "replace")
            if not model:
                return
            if settled > answered:  # a machine that lost its power wrote one page and not another
                _log.warning("a ledger's counts do not fit", model=model, version=number)
                answered = settled
            self._places[(model, number)] = at
            self._counts[(model, number)] = [answered, settled]
