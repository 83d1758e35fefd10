"""Batches of the prediction log in PostgreSQL, until they are in a file. Every function works within a transaction."""

import math
import time

import pyarrow as pa
import sqlalchemy as sa

from shipway.contract.errors import Permanent, Transient
from shipway.monitor.parquet import by_model_and_day
from shipway.monitor.tables import history_staged as staged
from shipway.runtime.database import Transaction

_STAGE = sa.insert(staged).inline()


class Room:
    """Whether more may be staged. Measured every ``every_s``, for asking costs a small batch as much as staging it."""

    def __init__(self, most_bytes: int, every_s: float = 0.5) -> None:
        self._most_bytes = most_bytes
        self._every_s = every_s
        self._measured_at = -math.inf

    async def check(self, tx: Transaction) -> None:
        """Raises Transient while so much waits already that more would fill the database."""
        now = time.monotonic()
        if now < self._measured_at + self._every_s:
            return
        waiting = await waiting_bytes(tx)
        if waiting > self._most_bytes:
            raise Transient(f"{waiting} bytes of predictions wait for the object store; see HISTORY__STAGING_MB")
        self._measured_at = now


async def stage(tx: Transaction, records: pa.Table) -> int:
    """Keeps the records of a batch until they are in a file; gives how many it does not, as no model has the name."""
    taken = 0
    for model, day, part in by_model_and_day(records):
        data = _to_stream(part)
        values = {"model": model, "day": day, "rows": len(part), "bytes": len(data), "decoded_bytes": part.nbytes}
        await tx.execute(_STAGE, values | {"data": data})
        taken += len(part)
    return len(records) - taken


async def waiting_bytes(tx: Transaction) -> int:
    """How much is staged."""
    return int((await tx.execute(sa.select(sa.func.coalesce(sa.func.sum(staged.c.bytes), 0)))).scalar_one())


async def records_of(tx: Transaction, file_id: int) -> list[pa.Table]:
    """The staged records of a planned file. Raises Permanent where they are damaged."""
    statement = sa.select(staged.c.data).where(staged.c.file_id == file_id).order_by(staged.c.seq)
    return [_from_stream(data) for data in (await tx.execute(statement)).scalars()]


async def newest(tx: Transaction, model: str, limit: int) -> list[pa.Table]:
    """A model's last staged batches, at most so many. Raises Permanent where they are damaged."""
    statement = sa.select(staged.c.data).where(staged.c.model == model).order_by(staged.c.seq.desc()).limit(limit)
    return [_from_stream(data) for data in (await tx.execute(statement)).scalars()]


def _to_stream(records: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, records.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(records)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _from_stream(data: bytes) -> pa.Table:
    try:
        with pa.ipc.open_stream(data) as reader:
            return reader.read_all()
    except (pa.ArrowException, OSError) as err:
        raise Permanent(f"staged records are damaged: {err}") from err
