"""The labels of a model and day as one object, ``labels/<model>/<day>.parquet``: a copy of what the database says.

By the day of the prediction, so that the labels of a day of the history lie in one place. Written whole and again while
labels of the day come in, under the same name: a crash in between costs time and nothing else.
"""

import asyncio
import io
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from shipway.contract.errors import Permanent
from shipway.contract.history import labels_key
from shipway.contract.signature import OF_NUMBERS
from shipway.monitor.labels import bounds_of_day, remove
from shipway.monitor.quality import class_name
from shipway.monitor.tables import label_files as files
from shipway.monitor.tables import labels
from shipway.runtime.database import Database, Transaction
from shipway.runtime.objects import ObjectMissing, ObjectStore

ROWS_AT_ONCE = 50_000
MAX_BYTES = 1_000_000_000
_TIME = pa.timestamp("us", tz="UTC")
_DUE = files.c.changes != files.c.written_changes


async def write_due(database: Database, store: ObjectStore, kinds: Mapping[str, str], every_s: float) -> bool:
    """Writes the file that has waited longest; False where none is due. ``kinds``: each model's kind of target.

    Raises:
        Transient: the object store, or the database, is away.
    """
    rested = sa.or_(files.c.written_at.is_(None), files.c.written_at <= sa.func.now() - timedelta(seconds=every_s))
    statement = sa.select(files).where(_DUE, rested).order_by(files.c.written_at.nulls_first()).limit(1)
    async with database.hold() as tx:
        # Locked while it is written, and with it the labels that come meanwhile: they change the same row.
        row = (await tx.execute(statement.with_for_update(skip_locked=True))).one_or_none()
        if row is None:
            return False
        data, rows = await _encoded(tx, row.model, row.day, kinds.get(row.model, ""))
        await asyncio.to_thread(store.put, labels_key(row.model, row.day), data)
        this = (files.c.model == row.model) & (files.c.day == row.day)
        values = {"written_changes": row.changes, "written_at": sa.func.now(), "rows": rows, "bytes": len(data)}
        await tx.execute(sa.update(files).where(this).values(**values))
    return True


async def remove_before(database: Database, store: ObjectStore, model: str, day: date) -> None:
    """Removes the files of earlier days; the object first, so that none is left that nobody knows of."""
    old = (files.c.model == model) & (files.c.day < day)
    async with database.hold() as tx:
        for row in (await tx.execute(sa.select(files).where(old).with_for_update())).all():
            await asyncio.to_thread(store.delete, labels_key(model, row.day))
        await tx.execute(sa.delete(files).where(old))


async def remove_ids(tx: Transaction, store: ObjectStore, model: str, day: date, ids: Collection[str]) -> int:
    """Removes the labels of a day's predictions, from the database and from the day's file; gives how many there were.

    The file is written again in place: of an older day it is the only copy of the others.

    Raises:
        Permanent: the file is not one of ours. Transient: the object store is away.
    """
    gone = set(await remove(tx, model, ids))
    this = (files.c.model == model) & (files.c.day == day)
    row = (await tx.execute(sa.select(files).where(this).with_for_update())).one_or_none()
    if row is None or row.written_at is None:
        return len(gone)
    key = labels_key(model, day)
    try:
        data, rows, theirs = await asyncio.to_thread(_without, await asyncio.to_thread(store.get, key, MAX_BYTES), ids)
    except ObjectMissing:
        return len(gone)
    if theirs:
        await asyncio.to_thread(store.put, key, data)
        await tx.execute(sa.update(files).where(this).values(rows=rows, bytes=len(data)))
    return len(gone | theirs)


def _without(data: bytes, ids: Collection[str]) -> tuple[bytes, int, set[str]]:
    """A file without some labels, its rows, and the ids that it had of them."""
    try:
        table = pq.read_table(pa.BufferReader(data))
        theirs = pc.is_in(table["prediction_id"], pa.array(list(ids), pa.string()))
        left, sink = table.filter(pc.invert(theirs)), io.BytesIO()
        pq.write_table(left, sink, compression="zstd", store_schema=False)
    except (pa.ArrowException, OSError, KeyError) as err:
        raise Permanent(f"not a file of labels: {err}") from err
    return sink.getvalue(), len(left), set(table.filter(theirs)["prediction_id"].to_pylist())


async def _encoded(tx: Transaction, model: str, day: date, kind: str) -> tuple[bytes, int]:
    """The file and its rows, in the order of prediction ids. Read part by part: a day may have millions."""
    value = pa.float64() if kind in OF_NUMBERS else pa.string()
    schema = pa.schema(
        [
            pa.field("prediction_id", pa.string(), nullable=False),
            pa.field("label", value),
            pa.field("version", pa.int32()),
            pa.field("predicted_at", _TIME),
            pa.field("observed_at", _TIME),
            pa.field("received_at", _TIME),
            # Since when it counts, and what counted before, the oldest first: the past as it was known then.
            pa.field("settled_at", _TIME),
            pa.field("earlier", pa.list_(pa.struct([("label", value), ("settled_at", _TIME)]))),
        ]
    )
    begin, end = bounds_of_day(day)
    these = (labels.c.model == model) & (labels.c.predicted_at >= begin) & (labels.c.predicted_at < end)
    sink, after, rows = io.BytesIO(), "", 0
    with pq.ParquetWriter(sink, schema, compression="zstd", store_schema=False) as writer:
        while True:
            part = sa.select(labels).where(these, labels.c.prediction_id > after).order_by(labels.c.prediction_id)
            found = (await tx.execute(part.limit(ROWS_AT_ONCE))).all()
            if not found:
                break
            rows += len(found)
            after = found[-1].prediction_id
            writer.write_table(pa.Table.from_pylist([_row(r, kind) for r in found], schema))
    return sink.getvalue(), rows


def _row(row: Any, kind: str) -> dict[str, Any]:
    names = ("prediction_id", "version", "predicted_at", "observed_at", "received_at", "settled_at")
    shown = {name: getattr(row, name) for name in names}
    earlier = [
        {"label": _value(one["label"], kind), "settled_at": datetime.fromisoformat(one["settled_at"])}
        for one in row.earlier or ()
    ]
    # A correction that is not counted yet changes the day again once it is.
    held = row.label if row.counted is None else row.counted
    return shown | {"label": _value(held, kind), "earlier": earlier or None}


def _value(label: Any, kind: str) -> float | str | None:
    if kind == "ranking" and isinstance(label, bool):
        return float(label)  # relevant or not
    if kind in OF_NUMBERS:
        return float(label) if isinstance(label, int | float) and not isinstance(label, bool) else None
    return class_name(label)
