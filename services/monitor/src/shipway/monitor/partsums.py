"""Sums of labelled answers by part of the traffic, in PostgreSQL. Every function works within a transaction."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.monitor.quality import Quality
from shipway.monitor.tables import part_quality
from shipway.runtime.database import Transaction

WHOLE = ""
Hours = dict[datetime, Quality]
"""Sums by the hour of the predictions."""
SUMS = ("labelled", "correct", "log_loss_sum", "error_sum")


async def add(tx: Transaction, model: str, found: Mapping[tuple[int, datetime, str], Quality]) -> None:
    """Adds sums by version, hour and part; WHOLE is the part of all of them."""
    rows = [
        {"model": model, "version": version, "hour": hour, "part": part} | {name: getattr(sums, name) for name in SUMS}
        for (version, hour, part), sums in sorted(found.items(), key=lambda item: item[0])
    ]
    if rows:
        statement = insert(part_quality)
        more = {name: part_quality.c[name] + statement.excluded[name] for name in SUMS}
        key = ["model", "version", "hour", "part"]
        await tx.execute(statement.on_conflict_do_update(index_elements=key, set_=more), rows)


async def between(
    tx: Transaction, model: str, begin: datetime, end: datetime, version: int | None = None
) -> dict[str, Hours]:
    """What labels say of the predictions of whole hours from ``begin`` to ``end``, of a version or of all, by part."""
    t = part_quality.c
    these = (t.model == model) & (t.hour >= begin) & (t.hour < end)
    if version is not None:
        these &= t.version == version
    total = [sa.func.sum(t[name]).label(name) for name in SUMS]
    rows = (await tx.execute(sa.select(t.part, t.hour, *total).where(these).group_by(t.part, t.hour))).all()
    found: defaultdict[str, Hours] = defaultdict(dict)
    for row in rows:
        found[row.part][row.hour] = Quality(
            labelled=int(row.labelled),
            correct=int(row.correct),
            log_loss_sum=float(row.log_loss_sum),
            error_sum=float(row.error_sum),
        )
    return dict(found)


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes sums that are too old."""
    await tx.execute(sa.delete(part_quality).where(part_quality.c.hour < at))
