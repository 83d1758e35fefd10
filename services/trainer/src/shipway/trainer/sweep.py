"""Removes what stages gave once nobody has used it for long, and no job that is not over may still read it."""

import asyncio
from datetime import timedelta

import sqlalchemy as sa

from shipway.runtime import log
from shipway.runtime.database import Database
from shipway.runtime.objects import ObjectStore
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.stages import key_of_output
from shipway.trainer.tables import job_stages, jobs, stage_outputs

_log = log.get(__name__)
SWEEP_EVERY_S = 600.0
_AT_ONCE = 100


class Sweeper:
    """``step`` is a reconciler's. A run that needs what was removed just then has it made again."""

    def __init__(self, database: Database, store: ObjectStore, settings: WorkerSettings) -> None:
        self._database = database
        self._store = store
        self._keep = timedelta(hours=settings.keep_outputs_h)

    async def step(self) -> bool:
        """Removes some; True where there may be more.

        Raises:
            Transient: the database or the store is away.
        """
        reads = job_stages.join(jobs, jobs.c.request_id == job_stages.c.request_id)
        read = (
            sa.select(1)
            .select_from(reads)
            .where(job_stages.c.output == stage_outputs.c.output, jobs.c.state.in_(("queued", "running")))
        )
        unused = (
            sa.select(stage_outputs.c.key)
            .where(stage_outputs.c.used_at < sa.func.now() - self._keep, ~read.exists())
            .limit(_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        async with self._database.hold() as tx:
            gone = sa.delete(stage_outputs).where(stage_outputs.c.key.in_(unused))
            rows = (await tx.execute(gone.returning(stage_outputs.c.model, stage_outputs.c.output))).all()
            left = sa.select(stage_outputs.c.model, stage_outputs.c.output).where(
                stage_outputs.c.output.in_([row.output for row in rows])
            )
            # With the store away, the rows stay: what is in the store and in no row would never be removed.
            for model, output in {tuple(row) for row in rows} - {tuple(row) for row in await tx.execute(left)}:
                await asyncio.to_thread(self._store.delete, key_of_output(model, output))
        if rows:
            _log.info("outputs of stages removed", outputs=len(rows))
        return len(rows) == _AT_ONCE
