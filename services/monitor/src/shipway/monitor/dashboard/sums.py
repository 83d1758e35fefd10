"""What pages read of the monitor's sums: predictions by the minute, and quality by the hour, added up over a range.

Every function works within a transaction, and over a range of time that an index cuts out.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from shipway.monitor.quality import Quality
from shipway.monitor.tables import quality, quality_totals, usage
from shipway.runtime.database import Transaction

_DELAYS = sa.func.jsonb_array_elements_text(quality.c.sums["delays"]).table_valued("value")
# Of an hour: the predictions that its labelled answers are made of.
_ROWS = sa.select(sa.func.sum(sa.cast(_DELAYS.c.value, sa.BigInteger))).scalar_subquery()
_EPOCH = sa.text("timestamptz '1970-01-01 00:00:00+00'")


async def minutes(
    tx: Transaction, names: Collection[str], since: datetime
) -> dict[str, dict[datetime, dict[str, int]]]:
    """How many predictions of each model ended how, minute by minute."""
    statement = (
        sa.select(usage.c.model, usage.c.minute, usage.c.outcome, sa.func.sum(usage.c.count).label("number"))
        .where(usage.c.model.in_(names), usage.c.minute >= since)
        .group_by(usage.c.model, usage.c.minute, usage.c.outcome)
    )
    found: dict[str, dict[datetime, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in (await tx.execute(statement)).all():
        found[row.model][row.minute][row.outcome] = int(row.number)
    return found


async def first_minute(tx: Transaction, name: str) -> datetime | None:
    """When a model's first prediction was."""
    found = await tx.execute(sa.select(sa.func.min(usage.c.minute)).where(usage.c.model == name))
    first: datetime | None = found.scalar_one()
    return first


async def traffic(tx: Transaction, name: str, since: datetime, width: timedelta) -> list[Any]:
    """Rows (version, at, outcome, number, latency_us) of predictions, added up over parts of ``width``."""
    at = sa.func.date_bin(width, usage.c.minute, _EPOCH).label("at")
    statement = (
        sa.select(
            usage.c.version,
            at,
            usage.c.outcome,
            sa.cast(sa.func.sum(usage.c.count), sa.BigInteger).label("number"),
            sa.cast(sa.func.sum(usage.c.latency_us_sum), sa.Float).label("latency_us"),
        )
        .where(usage.c.model == name, usage.c.minute >= since)
        .group_by(usage.c.version, at, usage.c.outcome)
    )
    return list((await tx.execute(statement)).all())


async def qualities(
    tx: Transaction, name: str, since: datetime, width: timedelta
) -> dict[tuple[int, datetime], Quality]:
    """The sums of loss by version and part of ``width``, of labels that are known."""
    at = sa.func.date_bin(width, quality.c.hour, _EPOCH).label("at")
    statement = (
        sa.select(
            quality.c.version,
            at,
            _total("labelled"),
            _total("loss_sum"),
            _total("loss_square_sum"),
            sa.func.sum(_ROWS).label("rows"),
        )
        .where(quality.c.model == name, quality.c.hour >= since)
        .group_by(quality.c.version, at)
    )
    found = {}
    for row in (await tx.execute(statement)).all():
        found[row.version, row.at] = total = Quality(int(row.labelled), row.loss_sum, row.loss_square_sum)
        total.ripen(int(row.rows), timedelta(0))  # when the labels came is not asked
    return found


def _total(what: str) -> sa.Label[float]:
    return sa.func.sum(sa.cast(quality.c.sums[what].astext, sa.Float)).label(what)


async def totals(tx: Transaction, name: str, numbers: Collection[int]) -> dict[int, Quality]:
    """The whole sums of quality of some versions."""
    these = (quality_totals.c.model == name) & quality_totals.c.version.in_(numbers)
    rows = (await tx.execute(sa.select(quality_totals.c.version, quality_totals.c.sums).where(these))).all()
    return {row.version: Quality(**row.sums) for row in rows}
