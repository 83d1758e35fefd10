"""The files of the prediction history, and what is to become one. Every function works within a transaction.

A file is ``planned`` (what goes into it is fixed, under a name of its own), ``written`` (the object is there, and its
records are nowhere else), ``leaving`` (its object goes, or is gone), or ``lost`` (somebody else removed the object).
By the database's clock throughout.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.errors import Permanent
from shipway.contract.events import ModelApproved
from shipway.contract.history import HISTORY, history_key
from shipway.contract.signature import Signature, parse_signature
from shipway.contract.spec import parse_spec
from shipway.monitor.parquet import Content, Naming
from shipway.monitor.tables import history_files as files
from shipway.monitor.tables import history_staged as staged
from shipway.monitor.tables import models, signatures
from shipway.runtime.database import Transaction

ROOT = HISTORY
UNFINISHED = ("planned", "leaving")
# What is worked on at once, in memory.
ROLL_BYTES = 64_000_000
MERGE_ROWS, MERGE_BYTES = 500_000, 128_000_000
# How long the name of a removed object is kept, to remove it again if a write that was under way brought it back.
FORGET_AFTER = timedelta(minutes=10)
_UTC_NOW = sa.func.timezone("UTC", sa.func.now())


@dataclass(frozen=True)
class Bounds:
    """When staged records become a file, and when a day's files are merged."""

    rows: int
    age: timedelta
    after_day: timedelta


async def keep_signature(tx: Transaction, event: ModelApproved) -> None:
    """Keeps what names a version's features."""
    values = {"signature": event.signature, "prediction_log": event.prediction_log}
    statement = insert(signatures).values(model=event.model, version=event.version, **values)
    await tx.execute(statement.on_conflict_do_nothing())


async def namings(tx: Transaction, model: str, versions: Collection[int]) -> dict[int, Naming]:
    """How the versions' features are called, where that is known. What the model's newest file redacts is hidden too:
    a version that was trained before it goes on answering.
    """
    newest = (await tx.execute(sa.select(models.c.spec).where(models.c.name == model))).scalar_one_or_none()
    redacted = parse_spec(newest).prediction_log.redact if newest is not None else []
    of_them = (signatures.c.model == model) & signatures.c.version.in_(versions)
    found = {}
    for row in (await tx.execute(sa.select(signatures).where(of_them))).all():
        try:
            signature = parse_signature(row.signature)
        except Permanent:
            continue
        found[row.version] = Naming(signature, frozenset([*redacted, *row.prediction_log.get("redact", [])]))
    return found


async def signatures_of(tx: Transaction, model: str, versions: Collection[int]) -> dict[int, Signature]:
    """The versions' signatures, as far as they are known."""
    of_them = (signatures.c.model == model) & signatures.c.version.in_(versions)
    found = {}
    for row in (await tx.execute(sa.select(signatures.c.version, signatures.c.signature).where(of_them))).all():
        try:
            found[row.version] = parse_signature(row.signature)
        except Permanent:
            continue
    return found


async def with_ids(tx: Transaction, model: str) -> list[Any]:
    """A model's files, the newest first, with the ids that each may hold."""
    shown = (files.c.id, files.c.key, files.c.bytes, files.c.first_id, files.c.last_id)
    there = (files.c.model == model) & (files.c.state == "written")
    return list((await tx.execute(sa.select(*shown).where(there).order_by(files.c.last_at.desc()))).all())


async def keep_ids(tx: Transaction, file_id: int, ids: tuple[str, str]) -> None:
    """Notes which ids a file holds, of one that was written by an older release."""
    await tx.execute(sa.update(files).where(files.c.id == file_id).values(first_id=ids[0], last_id=ids[1]))


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


async def unfinished(tx: Transaction) -> list[int]:
    """The files that something is to be done about."""
    again = sa.or_(files.c.left_at.is_(None), files.c.left_at <= sa.func.now() - FORGET_AFTER)
    return list((await tx.execute(sa.select(files.c.id).where(files.c.state.in_(UNFINISHED), again))).scalars())


async def claim(tx: Transaction, file_id: int) -> Any:
    """The file's row, this transaction's alone; None where it is in other hands, or done."""
    this = sa.select(files, (sa.func.now() - files.c.created_at).label("age"))
    this = this.where(files.c.id == file_id, files.c.state.in_(UNFINISHED)).with_for_update(skip_locked=True)
    return (await tx.execute(this)).one_or_none()


async def parts_of(tx: Transaction, file_id: int) -> list[Any]:
    """The files that a planned one is to replace."""
    statement = sa.select(files).where(files.c.merged_into == file_id).order_by(files.c.first_at, files.c.id)
    return list((await tx.execute(statement)).all())


async def written(tx: Transaction, file_id: int, content: Content | None, clear_of: int = 0) -> None:
    """The object is there, or none where nothing was left to write: it takes the place of staged records, or of other
    files. ``clear_of``: see tables.
    """
    values = {"state": "leaving"} if content is None else _written(content)  # an earlier try may have written it
    await tx.execute(sa.update(files).where(files.c.id == file_id).values(**values, clear_of=clear_of))
    await tx.execute(sa.delete(staged).where(staged.c.file_id == file_id))
    await tx.execute(sa.update(files).where(files.c.merged_into == file_id).values(state="leaving", merged_into=None))


async def give_up(tx: Transaction, file_id: int, missing: int) -> None:
    """A file that was to be merged is not in the store any more: the others are merged without it."""
    await tx.execute(sa.update(files).where(files.c.merged_into == file_id).values(merged_into=None))
    await tx.execute(sa.update(files).where(files.c.id == file_id).values(state="leaving"))
    await tx.execute(sa.update(files).where(files.c.id == missing).values(state="lost"))


async def left(tx: Transaction, row: Any) -> None:
    """The object is removed: for the first time, or once more and for good."""
    this = files.c.id == row.id
    if row.left_at is None:
        await tx.execute(sa.update(files).where(this).values(left_at=sa.func.now()))
    else:
        await tx.execute(sa.delete(files).where(this))


async def known(tx: Transaction) -> dict[str, str]:
    """Every file's state, by its key."""
    return {row.key: row.state for row in (await tx.execute(sa.select(files.c.key, files.c.state))).all()}


async def change(tx: Transaction, key: str, before: str, after: str) -> None:
    """Changes the state of a file that still has the one before."""
    this = (files.c.key == key) & (files.c.state == before)
    await tx.execute(sa.update(files).where(this).values(state=after))


async def take_in(tx: Transaction, key: str, model: str, day: date, content: Content) -> None:
    """Lists an object that was found."""
    await tx.execute(sa.insert(files).values(key=key, model=model, day=day, **_written(content)))


def _written(content: Content) -> dict[str, Any]:
    return {
        "state": "written",
        "rows": content.rows,
        "bytes": len(content.data),
        "decoded_bytes": content.decoded_bytes,
        "sha256": content.sha256,
        "first_at": content.first,
        "last_at": content.last,
        "first_id": content.first_id,
        "last_id": content.last_id,
    }


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
