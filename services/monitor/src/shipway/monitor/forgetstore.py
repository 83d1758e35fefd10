"""Commands to forget a subject, in PostgreSQL: what is to go, from which files, and what went. Within a transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import SubjectForgetRequested, TrainingCompleted
from shipway.contract.spec import HISTORY
from shipway.monitor.forgetting import Forgotten, Gone
from shipway.monitor.tables import events, forgettings
from shipway.monitor.tables import history_files as files
from shipway.monitor.tables import history_staged as staged
from shipway.runtime.database import Transaction

# A record may still come from a predictor's disk, or again from the log, so long after the command.
LATE_RECORDS = timedelta(days=7)
# A batch that was being staged when the command came is there by then.
SETTLED = timedelta(seconds=5)


async def take(tx: Transaction, command: SubjectForgetRequested) -> None:
    """Keeps a command; the same again changes nothing."""
    values = {name: getattr(command, name) for name in ("command_id", "model", "subject", "reason", "requested_by")}
    statement = insert(forgettings).values(**values, asked_at=sa.func.now())
    await tx.execute(statement.on_conflict_do_nothing(index_elements=["command_id"]))


async def active(tx: Transaction, model: str) -> list[Forgotten]:
    """A model's subjects of whom no record is to stay."""
    these = sa.select(forgettings).where(forgettings.c.model == model, forgettings.c.subject.is_not(None))
    rows = (await tx.execute(these.order_by(forgettings.c.seq))).all()
    return [Forgotten(row.seq, row.subject, row.asked_at) for row in rows]


async def count(tx: Transaction, seq: int, gone: Gone, labels: int) -> None:
    """Adds what went of a subject."""
    c = forgettings.c
    values = {"records": c.records + gone.records, "labels": c.labels + labels}
    values |= {
        "first_at": sa.func.least(c.first_at, gone.first_at),
        "last_at": sa.func.greatest(c.last_at, gone.last_at),
    }
    await tx.execute(sa.update(forgettings).where(c.seq == seq).values(**values))


async def unanswered(tx: Transaction) -> list[Any]:
    """The commands that are not done, whose batches have settled; the oldest first."""
    due = (forgettings.c.answered_at.is_(None)) & (forgettings.c.asked_at <= sa.func.now() - SETTLED)
    return list((await tx.execute(sa.select(forgettings).where(due).order_by(forgettings.c.seq))).all())


async def to_search(tx: Transaction, model: str, seq: int) -> list[Any]:
    """The files that may hold records of the command's subject, or of one before."""
    these = (files.c.model == model) & (files.c.state == "written") & files.c.merged_into.is_(None)
    return list((await tx.execute(sa.select(files).where(these, files.c.clear_of < seq).order_by(files.c.id))).all())


async def clear(tx: Transaction, file_id: int, seq: int) -> None:
    """Notes that a file holds nothing of the subjects up to ``seq``."""
    this = (files.c.id == file_id) & (files.c.clear_of < seq)
    await tx.execute(sa.update(files).where(this).values(clear_of=seq))


async def answer(tx: Transaction, seq: int) -> Any:
    """The command's row, marked as answered, once nothing of its subject is left; None while something may be."""
    this = sa.select(forgettings).where(forgettings.c.seq == seq, forgettings.c.answered_at.is_(None))
    row = (await tx.execute(this.with_for_update(skip_locked=True))).one_or_none()
    if row is None:
        return None
    unclear = (files.c.state.in_(("planned", "written"))) & (files.c.clear_of < seq)
    there = (files.c.state == "leaving") & files.c.left_at.is_(None)
    mine = sa.select(files.c.id).where(files.c.model == row.model, sa.or_(unclear, there)).limit(1)
    waits = sa.select(staged.c.seq).where(staged.c.model == row.model, staged.c.staged_at <= row.asked_at + SETTLED)
    for left in (mine, waits.limit(1)):
        if (await tx.execute(left)).first() is not None:
            return None
    await tx.execute(sa.update(forgettings).where(forgettings.c.seq == seq).values(answered_at=sa.func.now()))
    return row


async def answered(tx: Transaction, command_id: str) -> Any:
    """A command's row once it is done, with what went; None before."""
    this = (forgettings.c.command_id == command_id) & forgettings.c.answered_at.is_not(None)
    return (await tx.execute(sa.select(forgettings).where(this))).one_or_none()


async def versions_of(tx: Transaction, model: str, first: datetime | None, last: datetime | None) -> list[int]:
    """The versions that were trained or judged on the history of that time."""
    if first is None or last is None:
        return []
    these = (events.c.type == TrainingCompleted.type) & (events.c.model == model)
    from_history = these & (events.c.payload["data_source"].astext == HISTORY)
    rows = (await tx.execute(sa.select(events.c.payload).where(from_history))).scalars()
    told = [msgspec.convert(row, TrainingCompleted, strict=False) for row in rows]
    return sorted({one.version for one in told if one.train_from <= last and first < one.holdout_to})


async def erase(tx: Transaction) -> None:
    """Forgets the subjects' own names, once no record of theirs can come any more."""
    old = forgettings.c.answered_at.is_not(None) & (forgettings.c.asked_at < sa.func.now() - LATE_RECORDS)
    await tx.execute(sa.update(forgettings).where(old).values(subject=None))


def newest(subjects: Sequence[Forgotten]) -> int:
    """The greatest number of them; 0 where there is none."""
    return max((one.seq for one in subjects), default=0)
