"""The reconciler of the prediction history: staged records become Parquet files, and a day's files become one.

Once in effect: what goes into a file is fixed in the database, under a name of its own, before the object is written;
the same transaction that calls it written removes what it was made of. A crash in between leaves an object that is
written again under the same name.
"""

import asyncio
import math
import time
from datetime import timedelta
from typing import Any

import pyarrow as pa

from shipway.contract.errors import Permanent, Transient
from shipway.monitor import (
    combinationstore,
    filing,
    forgetstore,
    forgetting,
    labelfiles,
    metrics,
    naming,
    parquet,
    planning,
    staging,
)
from shipway.monitor.forgetting import Forgotten
from shipway.monitor.planning import Bounds
from shipway.monitor.settings import HistorySettings
from shipway.monitor.stocktaking import take_stock
from shipway.runtime import log
from shipway.runtime.database import Database, Transaction
from shipway.runtime.objects import ObjectMissing, ObjectStore

_log = log.get(__name__)
# Approval and first predictions come by topics of their own; so long the names of a version's features are waited for.
SIGNATURE_WITHIN = timedelta(minutes=10)
SWEEP_EVERY_S = 60.0
REST_S = 60.0  # of a file that could not be made, until it is tried again


class Historian:
    """Steps over what is staged and what is filed; ``step`` is made for a Reconciler."""

    def __init__(self, database: Database, store: ObjectStore, settings: HistorySettings) -> None:
        self._database = database
        self._store = store
        self._bounds = Bounds(
            settings.roll_rows, timedelta(seconds=settings.roll_s), timedelta(seconds=settings.merge_after_s)
        )
        self._begun = False
        self._resting: dict[int, float] = {}
        self._swept_at = -math.inf

    async def step(self) -> bool:
        """Everything that is due; one file's trouble leaves the others alone.

        Raises:
            Transient: the object store, or the database, is away.
        """
        async with self._database.begin() as tx:
            metrics.HISTORY_WAITING_BYTES.set(await staging.waiting_bytes(tx))
        if not self._begun:
            await asyncio.to_thread(self._store.probe)
            await take_stock(self._database, self._store)
            self._begun = True
        await self._roll()
        if time.monotonic() >= self._swept_at + SWEEP_EVERY_S:
            await self._sweep()
            self._swept_at = time.monotonic()
        async with self._database.begin() as tx:
            waiting = await filing.unfinished(tx)
        now, more, away = time.monotonic(), False, None
        self._resting = {file_id: until for file_id, until in self._resting.items() if until > now}
        for file_id in waiting:
            try:
                more |= file_id not in self._resting and await self._finish(file_id)
            except Transient as err:
                away = away or err
            except (Permanent, pa.ArrowException) as err:
                self._resting[file_id] = now + REST_S
                metrics.HISTORY_FAILED.inc()
                _log.error("history file not made", file=file_id, reason=str(err)[:500])
        if away is not None:
            raise away
        return more

    async def _roll(self) -> None:
        """Fixes which staged records go into which file, each model and day by itself."""
        async with self._database.begin() as tx:
            due = await planning.due(tx, self._bounds)
        for model, day in due:
            async with self._database.begin() as tx:
                await planning.plan_roll(tx, model, day, self._bounds)

    async def _sweep(self) -> None:
        """Lets go what is too old, and fixes which files of days that are over become one."""
        async with self._database.begin() as tx:
            await planning.expire(tx)
            mergeable = await planning.mergeable(tx, self._bounds)
        for model, day in mergeable:
            async with self._database.begin() as tx:
                await planning.plan_merge(tx, model, day)

    async def _finish(self, file_id: int) -> bool:
        """Takes a file to its next state; False where it is not its time."""
        # The row is locked for as long as the object is worked on, so that another monitor leaves it alone.
        async with self._database.hold() as tx:
            row = await filing.claim(tx, file_id)
            if row is None:
                return False
            if row.state == "leaving":
                await asyncio.to_thread(self._store.delete, row.key)
                await filing.left(tx, row)
                return True
            parts = await filing.parts_of(tx, file_id)
            subjects = await forgetstore.active(tx, row.model)
            records = await (self._merged(tx, row, parts) if parts else self._rolled(tx, row))
            if records is None:
                return False
            left = await self._left(tx, row, records, subjects)
            content = await asyncio.to_thread(parquet.encode, left) if len(left) else None
            if content is not None:
                await asyncio.to_thread(self._store.put, row.key, content.data)
            await combinationstore.change(tx, row.model, row.day, records if parts else None, left)
            await filing.written(tx, file_id, content, forgetstore.newest(subjects))
        metrics.HISTORY_FILES.labels("merged" if parts else "rolled").inc()
        if not parts and content is not None:
            metrics.HISTORY_RECORDS.inc(content.rows)
        return True

    async def _left(self, tx: Transaction, row: Any, records: pa.Table, subjects: list[Forgotten]) -> pa.Table:
        """The records, each once, without those of subjects that are forgotten, whose labels go with them."""
        left, gone = await asyncio.to_thread(forgetting.without, records, subjects)
        for seq, of_subject in gone.items():
            gone_labels = await labelfiles.remove_ids(tx, self._store, row.model, row.day, of_subject.ids)
            await forgetstore.count(tx, seq, of_subject, gone_labels)
        return await asyncio.to_thread(parquet.once, left)

    async def _rolled(self, tx: Transaction, row: Any) -> pa.Table | None:
        """Its staged records; None while a version's signature is still to come."""
        records = pa.concat_tables(await staging.records_of(tx, row.id))
        versions = parquet.versions_with_features(records)
        namings = await naming.namings(tx, row.model, versions)
        if versions - namings.keys() and row.age < SIGNATURE_WITHIN:
            return None
        return await asyncio.to_thread(parquet.named, records, namings)

    async def _merged(self, tx: Transaction, row: Any, parts: list[Any]) -> pa.Table | None:
        """All records of others; None where one of these is lost."""
        tables = []
        for part in parts:
            try:
                data = await asyncio.to_thread(self._store.get, part.key, part.bytes)
            except ObjectMissing:
                _log.error("history file lost", key=part.key, rows=part.rows)
                await filing.give_up(tx, row.id, part.id)
                return None
            tables.append(await asyncio.to_thread(parquet.decode, data))
        return await asyncio.to_thread(parquet.together, tables)
