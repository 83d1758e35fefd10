"""Removes the files of imports that are over, or that no import came for (see uploads)."""

import asyncio
from datetime import datetime, timedelta

import sqlalchemy as sa

from shipway.bundle.uploads import FILES, UPLOADS, is_upload
from shipway.runtime import log
from shipway.runtime.database import Database, Transaction
from shipway.runtime.objects import ObjectStore
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.tables import jobs
from shipway.trainer.uploads import Use, is_spent

_log = log.get(__name__)


class UploadSweeper:
    """``step`` is a reconciler's: it looks at what is there, so that whatever was killed in between is gone on with."""

    def __init__(self, database: Database, store: ObjectStore, settings: WorkerSettings) -> None:
        self._database = database
        self._store = store
        self._keep = timedelta(hours=settings.keep_uploads_h)

    async def step(self) -> bool:
        """Removes what is spent; never is there more at once.

        Raises:
            Transient: the database or the store is away.
        """
        keys = [key for key in await asyncio.to_thread(self._store.list, UPLOADS) if is_upload(key)]
        if not keys:
            return False
        # Before the database is asked: what is put there again after that is not taken for what was.
        put_at = {key: await asyncio.to_thread(self._store.written_at, key) for key in keys}
        async with self._database.begin() as tx:
            uses, now = await _uses(tx)
        spent = [
            key for key, at in put_at.items() if at is not None and is_spent(at, uses.get(key, ()), now, self._keep)
        ]
        for key in spent:
            await asyncio.to_thread(self._store.delete, key)
        if spent:
            _log.info("files of imports removed", files=len(spent))
        return False


async def _uses(tx: Transaction) -> tuple[dict[str, list[Use]], datetime]:
    """The jobs that name each object, and the database's time."""
    named = [jobs.c.asked["files"][name].astext.label(f"file_{i}") for i, name in enumerate(FILES)]
    imports = sa.select(jobs.c.state, jobs.c.created_at, jobs.c.ended_at, *named).where(jobs.c.origin == "import")
    uses: dict[str, list[Use]] = {}
    for state, created_at, ended_at, *digests in (await tx.execute(imports)).all():
        over = ended_at if state not in ("queued", "running") else None
        for digest in filter(None, digests):
            uses.setdefault(f"{UPLOADS}{digest}", []).append(Use(state, created_at, over))
    now: datetime = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return uses, now
