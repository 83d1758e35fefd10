"""What pages read of the events on record: newest first or of one story, and always so many at most.

Every function works within a transaction.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from shipway.monitor.dashboard import replays as replaying
from shipway.monitor.dashboard import timeline
from shipway.monitor.tables import alerts, dead_letters, events
from shipway.runtime.database import Transaction

ANSWERED = "shipway.CommandAnswered.v1"
PROGRESSED = "shipway.TrainingProgressed.v1"
EVENTS = 50
REPLAY_EVENTS = 30


async def answers(tx: Transaction, name: str | None) -> dict[str, list[dict[str, Any]]]:
    """What the releaser said to commands, by model, the oldest first."""
    statement = sa.select(events.c.model, events.c.payload).where(events.c.type == ANSWERED)
    if name is not None:
        statement = statement.where(events.c.model == name)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (await tx.execute(statement.order_by(events.c.id.desc()).limit(1000))).all():
        found[row.model].insert(0, row.payload)
    return found


async def answer(tx: Transaction, name: str, command_id: str) -> dict[str, Any] | None:
    """What the releaser said to one command; None: nothing yet."""
    return await _said_to(tx, name, command_id, (ANSWERED,))


async def end_of_replay(tx: Transaction, name: str, command_id: str) -> dict[str, Any] | None:
    """How a replay ended: the comparison, or the reason why there is none; None: not yet."""
    return await _said_to(tx, name, command_id, replaying.TYPES[1:])


async def _said_to(tx: Transaction, name: str, command_id: str, kinds: Sequence[str]) -> dict[str, Any] | None:
    this = (events.c.model == name) & events.c.type.in_(kinds)
    newest = sa.select(events.c.payload).where(this).order_by(events.c.id.desc()).limit(200)
    for row in (await tx.execute(newest)).all():
        if row.payload.get("command_id") == command_id:
            found: dict[str, Any] = row.payload
            return found
    return None


async def replays(tx: Transaction, name: str, version: int) -> list[dict[str, Any]]:
    """What was said of a version's newest replays: type, at, payload."""
    these = (events.c.model == name) & (events.c.version == version) & events.c.type.in_(replaying.TYPES)
    newest = sa.select(events.c.type, events.c.at, events.c.payload).where(these).order_by(events.c.id.desc())
    return [dict(row._mapping) for row in (await tx.execute(newest.limit(REPLAY_EVENTS))).all()]


async def on_the_timeline(tx: Transaction, name: str, numbers: Collection[int]) -> list[dict[str, Any]]:
    """The events that say what these versions were, the oldest first."""
    these = (events.c.model == name) & events.c.version.in_(numbers) & events.c.type.in_(timeline.TYPES)
    columns = (events.c.version, events.c.type, events.c.at, events.c.payload)
    rows = (await tx.execute(sa.select(*columns).where(these).order_by(events.c.id.desc()).limit(500))).all()
    return sorted((dict(row._mapping) for row in rows), key=lambda row: row["at"])


async def recent(
    tx: Transaction,
    *,
    model: str | None = None,
    version: int | None = None,
    kind: str | None = None,
    trace: str | None = None,
    before: int | None = None,
    limit: int = EVENTS,
) -> list[dict[str, Any]]:
    """Events, the newest first, those before a cursor."""
    statement = sa.select(events)
    wanted = ((events.c.model, model), (events.c.version, version), (events.c.type, kind), (events.c.trace_id, trace))
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    if before is not None:
        statement = statement.where(events.c.id < before)
    rows = (await tx.execute(statement.order_by(events.c.id.desc()).limit(limit))).all()
    return [dict(row._mapping) for row in rows]


async def progress_of(tx: Transaction, name: str, version: int) -> list[dict[str, Any]]:
    """The steps of a version's release (ReleaseProgressed), the oldest first, each with when it was."""
    kind = "shipway.ReleaseProgressed.v1"
    found = await recent(tx, model=name, version=version, kind=kind, limit=30)
    return [{**row["payload"], "at": row["at"]} for row in reversed(found)]


async def progress_of_job(tx: Transaction, request_id: str) -> list[dict[str, Any]]:
    """What a job said on its way (TrainingProgressed), the oldest first, each with when it was."""
    this = (events.c.type == PROGRESSED) & (events.c.payload["request_id"].astext == request_id)
    newest = sa.select(events.c.at, events.c.payload).where(this).order_by(events.c.id.desc()).limit(EVENTS)
    return [{**row.payload, "at": row.at} for row in reversed((await tx.execute(newest)).all())]


async def pulse(tx: Transaction) -> tuple[int, int, int]:
    """What changes whenever a page may have: the newest event, the changes of alerts, the newest dead letter."""
    newest = (await tx.execute(sa.select(sa.func.max(events.c.id)))).scalar_one() or 0
    told = sa.select(sa.func.coalesce(sa.func.sum(alerts.c.changes), 0) + sa.func.count(alerts.c.acked_at))
    changed = (await tx.execute(told.where(alerts.c.ended_at.is_(None)))).scalar_one()
    letter = (await tx.execute(sa.select(sa.func.max(dead_letters.c.id)))).scalar_one() or 0
    return int(newest), int(changed), int(letter)
