"""Which combinations of values a day's predictions had: a hash of each, and how many had it. In bounded space. Pure.

A hash is of the values, not of a version's codes: days compare whichever versions answered. Of more than MOST
combinations those with the least hashes are kept, which are the same ones every day: so what is kept of two days
compares, and its counts are exact, also when records are added later or taken away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MOST = 20_000
ALL = 2**63  # above every hash
_MISSING = np.uint64(0x9E37_79B9_7F4A_7C15)
_Hashes = npt.NDArray[np.uint64]


def _none() -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Combined:
    """``hashes``, ascending, each once, and how many rows had each: of all combinations whose hash is less than
    ``below``.
    """

    hashes: npt.NDArray[np.int64] = field(default_factory=_none)
    counts: npt.NDArray[np.int64] = field(default_factory=_none)
    below: int = ALL

    @property
    def rows(self) -> int:
        """How many rows are counted."""
        return int(self.counts.sum())


def combined(table: pa.Table, columns: Sequence[str], most: int = MOST) -> Combined:
    """The combinations of these columns: text, numbers, or true and false. A column that the table lacks is missing in
    every row; rows that have none of them (not sampled, or redacted) do not count.
    """
    there = [name for name in columns if name in table.schema.names]
    if not there or not len(table):
        return Combined()
    valid = np.zeros(len(table), bool)
    mixed = np.zeros(len(table), np.uint64)
    for name in columns:
        hashes, known = _column(table[name]) if name in there else (_MISSING, False)
        valid |= known
        mixed = _mixed(mixed ^ hashes)
    found, counts = np.unique((mixed[valid] >> np.uint64(1)).astype(np.int64), return_counts=True)
    return _least(Combined(found, counts.astype(np.int64)), most)


def added(one: Combined, other: Combined, most: int = MOST) -> Combined:
    """Of the rows of both."""
    return _least(_sum(one, other, 1), most)


def without(one: Combined, gone: Combined) -> Combined:
    """Of the rows that are left: ``gone`` are some of those of ``one``."""
    return _sum(one, gone, -1)


def new(day: Combined, before: Sequence[Combined]) -> tuple[int, int]:
    """How many of the day's rows have a combination that none of the days before had, and of how many rows."""
    below = min([day.below, *(one.below for one in before)])
    inside = day.hashes < below
    hashes, counts = day.hashes[inside], day.counts[inside]
    seen = np.isin(hashes, np.concatenate([_none(), *(one.hashes for one in before)]))
    return int(counts[~seen].sum()), int(counts.sum())


def _sum(one: Combined, other: Combined, sign: int) -> Combined:
    below = min(one.below, other.below)
    both = np.concatenate([one.hashes, other.hashes])
    hashes, places = np.unique(both, return_inverse=True)
    counts = np.zeros(len(hashes), np.int64)
    np.add.at(counts, places, np.concatenate([one.counts, sign * other.counts]))
    kept = (counts > 0) & (hashes < below)
    return Combined(hashes[kept], counts[kept], below)


def _least(one: Combined, most: int) -> Combined:
    if len(one.hashes) <= most:
        return one
    return Combined(one.hashes[:most], one.counts[:most], int(one.hashes[most]))


def _column(column: pa.ChunkedArray) -> tuple[_Hashes, npt.NDArray[np.bool_]]:
    """A hash of each value, and which there are."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        coded = pc.dictionary_encode(column.combine_chunks())
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        texts = [_MISSING, *(_of_text(text) for text in coded.dictionary.to_pylist())]
        places = pc.fill_null(coded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        return np.array(texts, np.uint64)[places + 1], valid
    numbers = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    valid = valid & ~np.isnan(numbers)
    bits = np.where(valid, numbers + 0.0, 0.0).view(np.uint64)  # -0.0 is 0.0
    return np.where(valid, _mixed(bits ^ ~_MISSING), _MISSING), valid


def _of_text(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))


def _mixed(values: _Hashes) -> _Hashes:
    """Spreads what differs over all bits (the finalizer of splitmix64, Steele et al. 2014)."""
    values = values + np.uint64(0x9E37_79B9_7F4A_7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return values ^ (values >> np.uint64(31))
