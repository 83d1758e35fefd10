"""What nobody uses any more is removed, from the database and from the object store; what a job may read is not."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore
from shipway.trainer import jobrows, outputstore, taking
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.stages import Done, key_of_output
from shipway.trainer.sweep import Sweeper
from shipway.trainer.tables import job_stages, stage_outputs

LONG_AGO = sa.func.now() - timedelta(days=30)


async def test_only_what_is_long_unused_and_nobody_may_read_goes(
    database: Database, request_training: Callable[..., Awaitable[None]], tmp_path: Path
) -> None:
    store = FolderStore(tmp_path)
    await request_training()
    old = {"gone": "a", "shared-old": "b", "read": "c"}
    async with database.begin() as tx:
        for key, digest in (old | {"shared-new": "b", "new": "d"}).items():
            store.put(key_of_output("m", digest * 64), b"x")
            await outputstore.keep_output(tx, "m", key, Done("clean", digest * 64))
        await tx.execute(sa.update(stage_outputs).where(stage_outputs.c.key.in_(old)).values(used_at=LONG_AGO))
        opened, _ = await jobrows.open_jobs(tx)
        await taking.begin(tx, opened[0].job)
        await tx.execute(sa.update(job_stages).where(job_stages.c.stage == "clean").values(output="c" * 64))
    assert not await Sweeper(database, store, WorkerSettings()).step()
    async with database.begin() as tx:
        left = set((await tx.execute(sa.select(stage_outputs.c.key))).scalars())
    assert left == {"read", "shared-new", "new"}
    assert store.list("stages/") == [key_of_output("m", digest * 64) for digest in "bcd"]
