"""The files of the prediction history, and what becomes of each. Every function works within a transaction.

A file is ``planned`` (what goes into it is fixed, see ``planning``), ``written`` (the object is there, and its records
are nowhere else), ``leaving`` (its object goes, or is gone), or ``lost`` (somebody else removed the object). By the
database's clock throughout.
"""

from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from shipway.monitor.parquet import Content
from shipway.monitor.tables import history_files as files
from shipway.monitor.tables import history_staged as staged
from shipway.runtime.database import Transaction

UNFINISHED = ("planned", "leaving")
# How long the name of a removed object is kept, to remove it again if a write that was under way brought it back.
FORGET_AFTER = timedelta(minutes=10)


async def with_ids(tx: Transaction, model: str) -> list[Any]:
    """A model's files, the newest first, with the ids that each may hold."""
    shown = (files.c.id, files.c.key, files.c.bytes, files.c.first_id, files.c.last_id)
    there = (files.c.model == model) & (files.c.state == "written")
    return list((await tx.execute(sa.select(*shown).where(there).order_by(files.c.last_at.desc()))).all())


async def keep_ids(tx: Transaction, file_id: int, ids: tuple[str, str]) -> None:
    """Notes which ids a file holds, of one that was written by an older release."""
    await tx.execute(sa.update(files).where(files.c.id == file_id).values(first_id=ids[0], last_id=ids[1]))


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
