"""What each target was told of which alert, in PostgreSQL. Every function works within a transaction."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.monitor.alerts import silenced, silenced_meanwhile
from shipway.monitor.tables import alerts, notices
from shipway.runtime.database import Transaction

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 600
LEASE = timedelta(seconds=30)


async def due(tx: Transaction, target: str, least: str, again: timedelta | None, limit: int) -> list[Any]:
    """The alerts that a target is to be told of now, with what it was told (``told_changes``, null: nothing).

    Open ones are told ``again`` after so long, where the target forgets. For a while they are left to who asked.
    """
    n = notices.c
    news = sa.or_(n.told_changes.is_(None), n.told_changes != alerts.c.changes)
    if again is not None:
        news = sa.or_(news, alerts.c.ended_at.is_(None) & (n.told_at <= sa.func.now() - again))
    held = sa.or_(silenced(), alerts.c.acked_at.is_not(None) & alerts.c.ended_at.is_(None))
    # Of an alert that came and went in a silence there is nothing to say.
    over = alerts.c.ended_at.is_not(None) & n.told_changes.is_(None) & silenced_meanwhile()
    wanted = alerts.c.severity == "critical" if least == "critical" else sa.true()
    pairs = alerts.outerjoin(notices, (n.alert_id == alerts.c.id) & (n.target == target))
    statement = (
        sa.select(alerts, n.told_changes, n.tries)
        .select_from(pairs)
        .where(news, ~held, ~over, wanted, sa.or_(n.due_at.is_(None), n.due_at <= sa.func.now()))
        .order_by(alerts.c.changed_at)
        .limit(limit)
        .with_for_update(of=alerts, skip_locked=True)
    )
    rows = list((await tx.execute(statement)).all())
    for row in rows:
        lease = insert(notices).values(alert_id=row.id, target=target, tries=0, due_at=sa.func.now() + LEASE)
        kept = {"due_at": lease.excluded.due_at}
        await tx.execute(lease.on_conflict_do_update(index_elements=["alert_id", "target"], set_=kept))
    return rows


async def told(tx: Transaction, row: Any, target: str, problem: str | None) -> None:
    """Notes that a target knows an alert as ``due`` gave it; or that it did not take it, to try again later."""
    this = (notices.c.alert_id == row.id) & (notices.c.target == target)
    if problem is None:
        values: dict[str, Any] = {"told_changes": row.changes, "told_at": sa.func.now(), "due_at": None, "tries": 0}
    else:
        tries = (row.tries or 0) + 1
        pause = timedelta(seconds=min(FIRST_PAUSE_S * 2 ** min(tries, 20), LONGEST_PAUSE_S))
        values = {"due_at": sa.func.now() + pause, "tries": tries}
    await tx.execute(sa.update(notices).where(this).values(**values, problem=problem))
