"""Which files of the prediction history come to be, and which go: what is staged, a day's small files, what is too old.

A plan fixes what goes into a file, under a name of its own; ``filing`` follows it from there. Every function works
within a transaction, by the database's clock.
"""

import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from shipway.contract.history import history_key
from shipway.contract.spec import parse_spec
from shipway.monitor.tables import history_files as files
from shipway.monitor.tables import history_staged as staged
from shipway.monitor.tables import models
from shipway.runtime.database import Transaction

# What is worked on at once, in memory.
ROLL_BYTES = 64_000_000
MERGE_ROWS, MERGE_BYTES = 500_000, 128_000_000
_UTC_NOW = sa.func.timezone("UTC", sa.func.now())


@dataclass(frozen=True)
class Bounds:
    """When staged records become a file, and when a day's files are merged."""

    rows: int
    age: timedelta
    after_day: timedelta


async def due(tx: Transaction, bounds: Bounds) -> list[tuple[str, date]]:
    """The models and days whose staged records are to become a file."""
    statement = (
        sa.select(staged.c.model, staged.c.day)
        .where(staged.c.file_id.is_(None))
        .group_by(staged.c.model, staged.c.day)
        .having(
            sa.or_(
                sa.func.sum(staged.c.rows) >= bounds.rows,
                sa.func.sum(staged.c.decoded_bytes) >= ROLL_BYTES,
                sa.func.min(staged.c.staged_at) <= sa.func.now() - bounds.age,
            )
        )
    )
    return [(row.model, row.day) for row in (await tx.execute(statement)).all()]


async def plan_roll(tx: Transaction, model: str, day: date, bounds: Bounds) -> None:
    """Fixes which staged records go into the next file."""
    statement = (
        sa.select(staged.c.seq, staged.c.rows, staged.c.decoded_bytes)
        .where(staged.c.file_id.is_(None), staged.c.model == model, staged.c.day == day)
        .order_by(staged.c.seq)
        .with_for_update(skip_locked=True)
    )
    chosen = _first_of(list((await tx.execute(statement)).all()), bounds.rows, ROLL_BYTES)
    if chosen:
        these = staged.c.seq.in_([row.seq for row in chosen])
        await tx.execute(sa.update(staged).where(these).values(file_id=await _plan(tx, model, day)))


async def mergeable(tx: Transaction, bounds: Bounds) -> list[tuple[str, date]]:
    """The models and days that are over, with everything written, in more files than need be."""
    ended = sa.cast(files.c.day, sa.DateTime) + timedelta(days=1) + bounds.after_day <= _UTC_NOW
    waits = sa.exists().where(staged.c.model == files.c.model, staged.c.day == files.c.day)
    statement = (
        sa.select(files.c.model, files.c.day)
        .where(_small(), ended, ~waits)
        .group_by(files.c.model, files.c.day)
        .having(sa.func.count() > 1)
    )
    return [(row.model, row.day) for row in (await tx.execute(statement)).all()]


async def plan_merge(tx: Transaction, model: str, day: date) -> None:
    """Fixes which files of a day become one."""
    statement = (
        sa.select(files)
        .where(_small(), files.c.model == model, files.c.day == day)
        .order_by(files.c.first_at, files.c.id)
        .with_for_update(skip_locked=True)
    )
    chosen = _first_of(list((await tx.execute(statement)).all()), MERGE_ROWS, MERGE_BYTES)
    if len(chosen) > 1:
        these = files.c.id.in_([row.id for row in chosen])
        await tx.execute(sa.update(files).where(these).values(merged_into=await _plan(tx, model, day)))


async def plan_rewrite(tx: Transaction, file_id: int) -> None:
    """Fixes that a written file is replaced by one of its own, unless another takes it in already."""
    this = (files.c.id == file_id) & (files.c.state == "written") & files.c.merged_into.is_(None)
    row = (await tx.execute(sa.select(files).where(this).with_for_update(skip_locked=True))).one_or_none()
    if row is not None:
        planned = await _plan(tx, row.model, row.day)
        await tx.execute(sa.update(files).where(files.c.id == file_id).values(merged_into=planned))


async def expire(tx: Transaction) -> None:
    """Lets go the files that are older than their model's file says."""
    for row in (await tx.execute(sa.select(models.c.name, models.c.spec).where(models.c.spec.is_not(None)))).all():
        keep = parse_spec(row.spec).prediction_log.keep
        if keep is not None:
            too_old = sa.cast(files.c.day, sa.DateTime) + timedelta(days=1) + keep <= _UTC_NOW
            these = (files.c.model == row.name) & (files.c.state == "written") & files.c.merged_into.is_(None)
            await tx.execute(sa.update(files).where(these, too_old).values(state="leaving"))


async def _plan(tx: Transaction, model: str, day: date) -> int:
    key = history_key(model, day, uuid.uuid4().hex)
    values = {"model": model, "day": day, "key": key, "state": "planned"}
    return int((await tx.execute(sa.insert(files).values(**values).returning(files.c.id))).scalar_one())


def _small() -> sa.ColumnElement[bool]:
    small = (files.c.rows <= MERGE_ROWS // 2) & (files.c.decoded_bytes <= MERGE_BYTES // 2)
    return (files.c.state == "written") & files.c.merged_into.is_(None) & small


def _first_of(rows: list[Any], most_rows: int, most_bytes: int) -> list[Any]:
    """As many from the front as fit the limits together, but one at least."""
    count = size = 0
    for n, row in enumerate(rows):
        count, size = count + row.rows, size + row.decoded_bytes
        if n and (count > most_rows or size > most_bytes):
            return rows[:n]
    return rows
