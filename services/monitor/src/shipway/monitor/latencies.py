"""How long answers took, counted by version and slot: what percentiles over time are read from. Within a transaction.

Slots of five minutes for a look at a day, of an hour for a month, of a day for a year: a plot reads some hundred rows.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.monitor.bins import Counts
from shipway.monitor.summary import LATENCIES
from shipway.monitor.tables import latencies
from shipway.runtime.database import Transaction

FINE, COARSE, LONG = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
KEEP = {FINE: timedelta(days=2), COARSE: timedelta(days=32), LONG: timedelta(days=400)}
Slot = tuple[str, timedelta, datetime, int]
"""Model, width, begin, version."""
_KEY = ("model", "width_s", "begin", "version")
_columns = [latencies.c[name] for name in _KEY]
_NONE = msgspec.msgpack.encode([0] * LATENCIES)


async def add(tx: Transaction, found: Mapping[Slot, Counts]) -> None:
    """Adds counts, as in Summary.latencies, to their slots."""
    if not found:
        return
    more = {(model, int(width.total_seconds()), *rest): counts for (model, width, *rest), counts in found.items()}
    rows = [dict(zip(_KEY, key, strict=True)) for key in sorted(more)]
    await tx.execute(insert(latencies).values(counts=_NONE).on_conflict_do_nothing(), rows)
    # In one order for all, so that no two monitors wait for each other.
    these = sa.select(latencies).where(sa.tuple_(*_columns).in_(list(more))).order_by(*_columns).with_for_update()
    totals = [
        {f"of_{name}": row[name] for name in _KEY}
        | {"total": msgspec.msgpack.encode((_counts(row["counts"]) + more[tuple(row[name] for name in _KEY)]).tolist())}
        for row in (await tx.execute(these)).mappings()
    ]
    this = sa.and_(*(latencies.c[name] == sa.bindparam(f"of_{name}") for name in _KEY))
    await tx.execute(sa.update(latencies).where(this).values(counts=sa.bindparam("total")), totals)


async def since(tx: Transaction, model: str, width: timedelta, begin: datetime) -> dict[tuple[int, datetime], Counts]:
    """The counts of a model's slots of ``width`` (one of KEEP) that begin then or later, by version and begin."""
    these = (latencies.c.model == model) & (latencies.c.width_s == int(width.total_seconds()))
    columns = (latencies.c.version, latencies.c.begin, latencies.c.counts)
    rows = (await tx.execute(sa.select(*columns).where(these, latencies.c.begin >= begin))).all()
    return {(row.version, row.begin): _counts(row.counts) for row in rows}


def slot_for(lasts: timedelta) -> timedelta:
    """The width of the slots that a look at so long a time is made of."""
    return FINE if lasts <= timedelta(days=1) else COARSE if lasts <= timedelta(days=30) else LONG


async def forget_before(tx: Transaction, now: datetime) -> None:
    """Removes slots that are too old for their width."""
    for width, keep in KEEP.items():
        old = (latencies.c.width_s == int(width.total_seconds())) & (latencies.c.begin < now - keep)
        await tx.execute(sa.delete(latencies).where(old))


def _counts(data: bytes) -> Counts:
    return np.asarray(msgspec.msgpack.decode(data, type=list[int]), np.int64)
