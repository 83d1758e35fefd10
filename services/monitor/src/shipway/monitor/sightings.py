"""What is counted over all models, in PostgreSQL: starts of instances, dead letters. Within a transaction."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import Presence
from shipway.monitor.tables import sightings
from shipway.runtime.database import Transaction

START, LETTERS = "start", "dead letters"
KEEP = timedelta(days=2)


async def note_starts(tx: Transaction, presence: Mapping[str, Presence]) -> None:
    """Keeps when instances started; each start once, by whichever monitor sees it."""
    rows = [
        {"kind": START, "subject": name[:256], "at": said.started_at, "value": 0}
        for name, said in sorted(presence.items())
    ]
    if rows:
        await tx.execute(insert(sightings).on_conflict_do_nothing(), rows)


async def note_letters(tx: Transaction, ends: Mapping[str, int], now: datetime) -> None:
    """Keeps where each service's dead letters end, once a minute."""
    minute = now.replace(second=0, microsecond=0)
    rows = [{"kind": LETTERS, "subject": name, "at": minute, "value": end} for name, end in sorted(ends.items())]
    if rows:
        await tx.execute(insert(sightings).on_conflict_do_nothing(), rows)


async def starts_since(tx: Transaction, since: datetime) -> dict[str, int]:
    """How often instances started since then."""
    these = (sightings.c.kind == START) & (sightings.c.at >= since)
    counting = sa.select(sightings.c.subject, sa.func.count().label("times")).where(these).group_by(sightings.c.subject)
    return {row.subject: int(row.times) for row in (await tx.execute(counting)).all()}


async def letters_since(tx: Transaction, since: datetime, now: Mapping[str, int]) -> dict[str, int]:
    """How many dead letters came since then, by service; ``now``: where they end. 0 where a broker lost its data."""
    these = (sightings.c.kind == LETTERS) & (sightings.c.at >= since)
    least = sa.select(sightings.c.subject, sa.func.min(sightings.c.value).label("end")).where(these)
    before = {row.subject: int(row.end) for row in (await tx.execute(least.group_by(sightings.c.subject))).all()}
    return {name: max(0, end - before.get(name, end)) for name, end in now.items()}


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes what nobody counts any more."""
    await tx.execute(sa.delete(sightings).where(sightings.c.at < at))
