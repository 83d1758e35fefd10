"""The evaluator's table of replays. Every function works within a transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import ReplayRequested
from shipway.evaluator.store import storable
from shipway.evaluator.tables import candidates, replays
from shipway.runtime.database import Transaction

KEEP = timedelta(days=30)
MOST_VERSIONS = 5000
_WAITING = replays.c.ended_at.is_(None)


@dataclass(frozen=True)
class Replay:
    """A replay that was asked for and has not ended. ``crashes``: how often the process that makes it died."""

    command_id: str
    model: str
    version: int
    start: datetime
    end: datetime
    limit: int
    reason: str
    requested_by: str
    traceparent: str | None
    received_at: datetime
    crashes: int


async def note(tx: Transaction, asked: ReplayRequested, traceparent: str | None, problem: str = "") -> bool:
    """Writes the request down, with a ``problem`` as one that is over; False where it is there already."""
    statement = insert(replays).values(
        command_id=asked.command_id,
        model=asked.model,
        version=asked.version,
        start_at=asked.start,
        end_at=asked.end,
        row_limit=asked.limit,
        reason=asked.reason,
        requested_by=asked.requested_by,
        traceparent=traceparent,
        problem=problem,
        ended_at=sa.func.now() if problem else None,
    )
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def waiting(tx: Transaction) -> int:
    """How many replays wait, the one in hand included."""
    counting = sa.select(sa.func.count()).select_from(replays).where(_WAITING)
    return int((await tx.execute(counting)).scalar_one())


async def take(tx: Transaction) -> Replay | None:
    """The next replay to make, locked until the transaction ends: the lock dies with its holder."""
    statement = (
        sa.select(replays)
        .where(_WAITING, replays.c.not_before <= sa.func.clock_timestamp())
        .order_by(replays.c.received_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        return None
    return Replay(
        command_id=row.command_id,
        model=row.model,
        version=row.version,
        start=row.start_at,
        end=row.end_at,
        limit=row.row_limit,
        reason=row.reason,
        requested_by=row.requested_by,
        traceparent=row.traceparent,
        received_at=row.received_at,
        crashes=row.crashes,
    )


async def digests(tx: Transaction, model: str, version: int) -> dict[int, str]:
    """The digests of the model's newest versions, and of this one, by number."""
    these = sa.select(candidates.c.version, candidates.c.digest).where(candidates.c.model == model)
    newest = (await tx.execute(these.order_by(candidates.c.version.desc()).limit(MOST_VERSIONS))).all()
    this = (await tx.execute(these.where(candidates.c.version == version))).all()
    return {row.version: row.digest for row in (*newest, *this)}


async def postpone(tx: Transaction, replay: Replay, rest: timedelta, why: str, *, crashed: bool) -> None:
    """Leaves the replay for later."""
    values: dict[str, Any] = {"not_before": sa.func.clock_timestamp() + rest, "waits_for": storable(why)}
    values["crashes"] = replay.crashes + crashed
    await tx.execute(sa.update(replays).where(replays.c.command_id == replay.command_id).values(values))


async def end(tx: Transaction, replay: Replay, problem: str) -> bool:
    """Writes down that the replay is over, with why it gave no comparison; False where it is already.

    What ended long ago is forgotten.
    """
    this = (replays.c.command_id == replay.command_id) & _WAITING
    now = sa.func.clock_timestamp()
    ended = await tx.execute(
        sa.update(replays).where(this).values(ended_at=now, waits_for="", problem=storable(problem))
    )
    await tx.execute(sa.delete(replays).where(replays.c.ended_at < now - KEEP))
    return ended.rowcount == 1
