"""Starts of instances, in PostgreSQL: how often each started lately. Within a transaction."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import Presence
from shipway.monitor.tables import sightings
from shipway.runtime.database import Transaction

START = "start"
KEEP = timedelta(days=2)


async def note_starts(tx: Transaction, presence: Mapping[str, Presence]) -> None:
    """Keeps when instances started; each start once, by whichever monitor sees it."""
    rows = [
        {"kind": START, "subject": name[:256], "at": said.started_at, "value": 0}
        for name, said in sorted(presence.items())
    ]
    if rows:
        await tx.execute(insert(sightings).on_conflict_do_nothing(), rows)


async def starts_since(tx: Transaction, since: datetime) -> dict[str, int]:
    """How often instances started since then."""
    these = (sightings.c.kind == START) & (sightings.c.at >= since)
    counting = sa.select(sightings.c.subject, sa.func.count().label("times")).where(these).group_by(sightings.c.subject)
    return {row.subject: int(row.times) for row in (await tx.execute(counting)).all()}


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes what nobody counts any more."""
    await tx.execute(sa.delete(sightings).where(sightings.c.at < at))
