"""Whether the holdout holds rows that training saw: by a hash of their content, and by their ids where they have some.

Content is features and target, not the time: a row that was written twice comes under two times. Data may repeat
itself by nature, so the newest training rows are held against the older ones in the same way, for comparison.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.evaluator.facts import Overlap

Hashes = npt.NDArray[np.uint64]
_SEED, _MISSING = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)


def row_hashes(table: pa.Table, columns: Sequence[str]) -> Hashes:
    """A 64-bit hash of each row's values in these columns, by value and not by type: 1 and 1.0 are the same.

    Times count in microseconds.
    """
    hashes = np.full(table.num_rows, _SEED)
    for name in sorted(columns):
        named = np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))
        hashes = _mixed(hashes ^ _mixed(_bits(table.column(name)) ^ named))
    return hashes


def content_digest(hashes: Hashes) -> str:
    """The identity of a set of rows, whatever their order and the files that they lie in: a SHA-256."""
    return hashlib.sha256(np.sort(hashes).astype("<u8").tobytes()).hexdigest()


def overlap(train: Hashes, holdout: Hashes, train_ids: Hashes | None, holdout_ids: Hashes | None) -> Overlap:
    """Shares of holdout rows that are in training too, and the usual ones; rows in the order of time."""
    content, usual = _shares(train, holdout)
    if train_ids is None or holdout_ids is None:
        return Overlap(len(train), content, usual)
    return Overlap(len(train), content, usual, *_shares(train_ids, holdout_ids))


def _shares(train: Hashes, holdout: Hashes) -> tuple[float, float]:
    newest = min(len(holdout), len(train) // 2)
    return _share(holdout, train), _share(train[len(train) - newest :], train[: len(train) - newest])


def _share(rows: Hashes, among: Hashes) -> float:
    return float(np.isin(rows, among).mean()) if len(rows) else 0.0


def _bits(column: pa.ChunkedArray) -> Hashes:
    """Each value as 64 bits."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if not _is_number(kind):
        encoded = pc.dictionary_encode(column).combine_chunks()
        words = [hashlib.blake2b(str(v).encode(), digest_size=8).digest() for v in encoded.dictionary.to_pylist()]
        known = np.frombuffer(b"".join(words) or bytes(8), "<u8").astype(np.uint64)
        places = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        return np.where(places < 0, _MISSING, known[np.maximum(places, 0)])
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isnan(values), _MISSING, (values + 0.0).view(np.uint64))


def _is_number(kind: pa.DataType) -> bool:
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_timestamp)
    return any(fits(kind) for fits in numbers)


def _mixed(bits: Hashes) -> Hashes:
    """SplitMix64's finisher (Steele, Lea and Flood, 2014): every bit in moves every bit out."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
