"""The reconciler of commands to forget a subject: looks for files that hold its records, and has them written again.

A file is replaced as a merge replaces it (see historian), by one without the records: so a crash in between costs time,
and no object is there that the database does not know. What was written since the command leaves them out by itself.
The command is answered once every file of the model, and what waits for one, is known to hold none.
"""

import asyncio
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shipway.contract.errors import Permanent
from shipway.contract.events import SubjectForgotten
from shipway.monitor import forgetstore, forgetting, planning
from shipway.monitor.forgetting import Forgotten
from shipway.runtime import log
from shipway.runtime.delivery import emit
from shipway.runtime.objects import ObjectMissing, ObjectStore
from shipway.runtime.parts import Parts

_log = log.get(__name__)
_WANTED = ["client_id", "at"]


class Forgetter:
    """``step`` is a reconciler's."""

    def __init__(self, parts: Parts, store: ObjectStore) -> None:
        self._parts = parts
        self._store = store

    async def step(self) -> bool:
        """Looks into one file of each command; True where there are more to look into.

        Raises:
            Transient: the object store, or the database, is away.
        """
        async with self._parts.database.begin() as tx:
            await forgetstore.erase(tx)
            commands = await forgetstore.unanswered(tx)
        more = False
        for command in commands:
            more |= await self._search(command)
            await self._answer(command)
        return more

    async def _search(self, command: Any) -> bool:
        async with self._parts.database.begin() as tx:
            waiting = await forgetstore.to_search(tx, command.model, command.seq)
            subjects = await forgetstore.active(tx, command.model)
        if not waiting:
            return False
        file = waiting[0]
        try:
            data = await asyncio.to_thread(self._store.get, file.key, file.bytes)
            held = await asyncio.to_thread(_holds, data, subjects)
        except ObjectMissing:
            held = False  # merged meanwhile, or lost: either way it is not there
        except Permanent as err:
            _log.error("history file not searched", key=file.key, reason=str(err)[:500])
            held = True  # writing it again fails in words, and the command stays open
        async with self._parts.database.begin() as tx:
            if held:
                await planning.plan_rewrite(tx, file.id)
            else:
                await forgetstore.clear(tx, file.id, forgetstore.newest(subjects))
        return len(waiting) > 1

    async def _answer(self, command: Any) -> None:
        async with self._parts.database.begin() as tx:
            row = await forgetstore.answer(tx, command.seq)
            if row is None:
                return
            told = SubjectForgotten(
                model=row.model,
                command_id=row.command_id,
                records=row.records,
                labels=row.labels,
                versions=await forgetstore.versions_of(tx, row.model, row.first_at, row.last_at),
                first_at=row.first_at,
                last_at=row.last_at,
                reason=row.reason,
                requested_by=row.requested_by,
            )
            await emit(tx, self._parts.source, told)
        _log.warning(
            "subject forgotten", model=told.model, records=told.records, labels=told.labels, by=told.requested_by
        )
        self._parts.relay.wake()


def _holds(data: bytes, subjects: list[Forgotten]) -> bool:
    try:
        records = pq.read_table(pa.BufferReader(data), columns=_WANTED)
        return any(pa.compute.any(forgetting.belongs(records, one)).as_py() for one in subjects)
    except (pa.ArrowException, OSError, KeyError) as err:
        raise Permanent(f"not a file of the prediction history: {err}") from err
