"""Which days a version's reference rows are of: so many of the first day, so many of the next, as rows are in order.

It stands in the metadata of ``reference.parquet``, which releases that do not know it pass over.
"""

import io
from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shipway.contract.errors import Permanent

KEY = b"shipway.days"
_DAY_US = 86_400_000_000


def days_of(times: pa.ChunkedArray) -> tuple[int, ...]:
    """How many rows are of each UTC day, one after another; none where their times are not all known and in order."""
    if times.null_count or not (pa.types.is_timestamp(times.type) or pa.types.is_date(times.type)):
        return ()
    zone = times.type.tz if pa.types.is_timestamp(times.type) else None
    days = times.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64()).to_numpy() // _DAY_US
    if (np.diff(days) < 0).any():
        return ()
    return tuple(np.unique(days, return_counts=True)[1].tolist())


def days_of_sample(days: Sequence[int], chosen: Sequence[int]) -> tuple[int, ...]:
    """How many of the rows that were chosen, by place and in order, are of each day; days without one are left out."""
    of_day = np.repeat(np.arange(len(days)), days)
    counts = np.bincount(of_day[np.asarray(chosen)], minlength=1) if len(days) else np.zeros(0, np.int64)
    return tuple(counts[counts > 0].tolist())


def metadata_of(days: Sequence[int]) -> dict[bytes, bytes]:
    """What a Parquet file says of its rows' days."""
    return {KEY: msgspec.json.encode(list(days))} if days else {}


def read_days(data: bytes, rows: int) -> tuple[int, ...]:
    """The days of a file that holds so many rows; none where it does not say.

    Raises:
        Permanent: what it says is not of so many rows.
    """
    try:
        said = (pq.read_metadata(io.BytesIO(data)).metadata or {}).get(KEY)
        days = msgspec.json.decode(said, type=list[int]) if said is not None else []
    except (pa.ArrowException, OSError, ValueError) as err:  # msgspec's errors are ValueErrors
        raise Permanent(f"reference.parquet: its days: {err}") from err
    if days and (min(days) < 1 or sum(days) != rows):
        raise Permanent(f"reference.parquet: its days are of {sum(days)} rows, and it has {rows}")
    return tuple(days)
