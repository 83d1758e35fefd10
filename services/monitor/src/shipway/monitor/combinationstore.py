"""The combinations of a model's days in PostgreSQL: counted as files of the history are written. Within a transaction.

What a file adds or leaves out is counted in the transaction that calls it written: each record once, and those of a
subject that is forgotten no more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.spec import ModelSpec
from shipway.monitor import combinations, newness, store
from shipway.monitor.combinations import Combined
from shipway.monitor.packing import pack, unpack
from shipway.monitor.parquet import PREFIX
from shipway.monitor.recentdays import Day
from shipway.monitor.tables import combination_days as days
from shipway.monitor.tables import history_staged as staged
from shipway.runtime.database import Transaction

_DAY = timedelta(days=1)


def named(spec: ModelSpec) -> dict[str, Sequence[str]]:
    """The combinations that a model file declares: the columns of each, by its name."""
    return {", ".join(columns): columns for columns in spec.monitoring.combinations}


async def change(tx: Transaction, model: str, day: date, before: pa.Table | None, after: pa.Table | None) -> None:
    """Counts a day's records that are in the place of others (of files that are merged, or written again)."""
    if before is not None and after is not None and len(before) == len(after):
        return  # a merge as most are
    spec = await store.spec_of(tx, model)
    for name, columns in sorted(named(spec).items()) if spec is not None else ():
        gone = await asyncio.to_thread(_combined, before, columns)
        come = await asyncio.to_thread(_combined, after, columns)
        key = {"model": model, "name": name, "day": day}
        await tx.execute(insert(days).values(**key, data=pack(Combined())).on_conflict_do_nothing())
        this = sa.and_(*(days.c[column] == value for column, value in key.items()))
        kept = (await tx.execute(sa.select(days.c.data).where(this).with_for_update())).scalar_one()
        if kept is not None:  # else the day is older than is looked back
            total = combinations.without(combinations.added(unpack(kept, Combined), come), gone)
            await tx.execute(sa.update(days).where(this).values(data=pack(total)))


def _combined(records: pa.Table | None, columns: Sequence[str]) -> Combined:
    """Of what was asked for and answered."""
    if records is None:
        return Combined()
    asked = pc.and_(pc.equal(records["outcome"], "answered"), pc.not_equal(pc.fill_null(records["role"], ""), "shadow"))
    return combinations.combined(records.filter(asked), [PREFIX + name for name in columns])


async def first_day(tx: Transaction, model: str) -> date | None:
    """The first day that is counted."""
    found: date | None = (
        await tx.execute(sa.select(sa.func.min(days.c.day)).where(days.c.model == model))
    ).scalar_one()
    return found


async def waits(tx: Transaction, model: str, day: date) -> bool:
    """Whether records of a day are in no file yet."""
    these = (staged.c.model == model) & (staged.c.day == day)
    return (await tx.execute(sa.select(staged.c.seq).where(these).limit(1))).first() is not None


async def shares(tx: Transaction, model: str, name: str, day: date) -> list[Day]:
    """The share of a day's rows that are new, which is kept, and the shares of the days before it."""
    of_name = (days.c.model == model) & (days.c.name == name)
    near = of_name & (days.c.day <= day) & (days.c.day >= day - newness.LOOK_BACK * _DAY)
    kept = (await tx.execute(sa.select(days.c.day, days.c.data).where(near, days.c.data.is_not(None)))).all()
    found: Mapping[date, Combined] = {row.day: unpack(row.data, Combined) for row in kept}
    before = [one for at, one in found.items() if at < day and one.rows]
    new, rows = combinations.new(found.get(day, Combined()), before)
    share = newness.share_of(new, rows, len(before))
    if share is not None:
        await tx.execute(sa.update(days).where(of_name, days.c.day == day).values(new=new, rows=rows))
    past = of_name & (days.c.day < day) & (days.c.day >= day - newness.DAYS_BEFORE * _DAY) & days.c.rows.is_not(None)
    usual = (await tx.execute(sa.select(days.c.day, days.c.new, days.c.rows).where(past))).all()
    return [*([share] if share is not None else []), *(Day(r.new, r.rows, (day - r.day) // _DAY) for r in usual)]


async def forget(tx: Transaction, model: str, spec: ModelSpec, today: date) -> None:
    """Removes hashes that are not looked back to, or older than the history is kept, and what is not declared."""
    of_model = days.c.model == model
    await tx.execute(sa.delete(days).where(of_model, days.c.name.not_in(list(named(spec)))))
    await tx.execute(sa.delete(days).where(of_model, days.c.day < today - (newness.DAYS_BEFORE + 2) * _DAY))
    keep = spec.prediction_log.keep
    looked = (newness.LOOK_BACK + 2) * _DAY
    too_old = days.c.day < today - (looked if keep is None else min(looked, keep))
    await tx.execute(sa.update(days).where(of_model, too_old, days.c.data.is_not(None)).values(data=None))
