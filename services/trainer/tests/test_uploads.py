"""Files of imports go when the import is over, and not before; also where a trainer is killed in the middle."""

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shipway.bundle.uploads import UPLOADS, key_of_upload
from shipway.contract.errors import Transient
from shipway.contract.events import ModelImportRequested, TrainingRetryRequested
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore
from shipway.trainer import handlers, store
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.tables import jobs
from shipway.trainer.uploads import Use, is_spent
from shipway.trainer.uploadsweep import UploadSweeper

T0 = datetime(2026, 1, 1, tzinfo=UTC)
H = timedelta(hours=1)
MODEL, SIGNATURE, OTHER = "1" * 64, "2" * 64, "3" * 64


def test_a_file_that_no_job_names_is_kept_for_a_while() -> None:
    assert not is_spent(T0, [], T0 + 23 * H, 24 * H)
    assert is_spent(T0, [], T0 + 24 * H, 24 * H)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_file_that_an_open_job_names_stays_however_old_it_is(state: Any) -> None:
    done = Use("completed", T0 + H, T0 + 2 * H)
    assert not is_spent(T0, [done, Use(state, T0 + 3 * H, None)], T0 + 1000 * H, 24 * H)


def test_a_file_of_a_completed_job_goes_at_once_unless_it_was_put_there_again() -> None:
    done = Use("completed", T0 + H, T0 + 2 * H)
    assert is_spent(T0, [done], T0 + 2 * H, 24 * H)
    assert not is_spent(T0 + 2 * H, [done], T0 + 3 * H, 24 * H), "the command that names it is on its way"
    assert is_spent(T0 + 2 * H, [done], T0 + 26 * H, 24 * H), "or it never came"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_file_of_a_job_that_may_be_run_again_is_kept_for_a_while(state: Any) -> None:
    ended = Use(state, T0 + 2 * H, T0 + 3 * H)
    done = Use("completed", T0 + H, T0 + 2 * H)
    for uses in ([ended], [ended, done]):
        assert not is_spent(T0, uses, T0 + 26 * H, 24 * H)
        assert is_spent(T0, uses, T0 + 27 * H, 24 * H)


class Dying(FolderStore):
    """A store whose trainer is killed as it is to remove its second object."""

    alive = 10**9

    def delete(self, key: str) -> None:
        self.alive -= 1
        if self.alive < 0:
            raise Transient("killed")
        super().delete(key)


class Case:
    """A trainer's database and store, with jobs that import files."""

    def __init__(self, database: Database, folder: Path, envelope: Any) -> None:
        self.database, self.store, self.envelope, self.folder = database, Dying(folder), envelope, folder
        self.sweeper = UploadSweeper(database, self.store, WorkerSettings())

    def put(self, *digests: str, ago: timedelta = timedelta(0)) -> None:
        for digest in digests:
            self.store.put(key_of_upload(digest), b"x")
            at = datetime.now(UTC).timestamp() - ago.total_seconds()
            os.utime(self.folder / key_of_upload(digest), (at, at))

    async def asks(self, request_id: str, files: Mapping[str, str]) -> None:
        command = ModelImportRequested(model="m", request_id=request_id, files=dict(files))
        async with self.database.begin() as tx:
            await handlers.on_import_requested(tx, command, self.envelope(command))

    async def ends(self, request_id: str, state: str, ago: timedelta = timedelta(0)) -> None:
        values = {"state": state, "ended_at": sa.func.now() - ago}
        async with self.database.begin() as tx:
            await tx.execute(sa.update(jobs).where(jobs.c.request_id == request_id).values(**values))

    async def left(self) -> list[str]:
        assert not await self.sweeper.step()
        return [key.removeprefix(UPLOADS) for key in self.store.list(UPLOADS)]


@pytest.fixture
async def case(database: Database, tmp_path: Path, envelope: Callable[..., Awaitable[None]]) -> Case:
    return Case(database, tmp_path, envelope)


async def test_files_go_when_the_last_job_that_names_them_is_over(case: Case) -> None:
    case.put(MODEL, SIGNATURE, OTHER, ago=H)
    await case.asks("a", {"model.txt": MODEL, "signature.json": SIGNATURE})
    await case.asks("b", {"model.txt": OTHER, "signature.json": SIGNATURE})
    assert await case.left() == [MODEL, SIGNATURE, OTHER]
    await case.ends("a", "completed")
    assert await case.left() == [SIGNATURE, OTHER]
    await case.ends("b", "cancelled")
    assert await case.left() == [SIGNATURE, OTHER]
    await case.ends("b", "cancelled", ago=25 * H)
    case.put(SIGNATURE, OTHER, ago=26 * H)
    assert await case.left() == []


async def test_a_failed_job_that_is_run_again_finds_its_files(case: Case) -> None:
    case.put(MODEL, SIGNATURE, ago=48 * H)
    await case.asks("a", {"model.txt": MODEL, "signature.json": SIGNATURE})
    await case.ends("a", "failed")
    assert await case.left() == [MODEL, SIGNATURE]
    async with case.database.begin() as tx:
        await store.retry(tx, TrainingRetryRequested(model="m", request_id="a"))
    assert await case.left() == [MODEL, SIGNATURE]


async def test_what_a_sweep_left_over_goes_with_the_next(case: Case) -> None:
    case.put(MODEL, SIGNATURE, ago=H)
    await case.asks("a", {"model.txt": MODEL, "signature.json": SIGNATURE})
    await case.ends("a", "completed")
    case.store.alive = 1
    with pytest.raises(Transient):
        await case.sweeper.step()
    case.store.alive = 10
    assert await case.left() == []


async def test_what_is_named_otherwise_is_left_alone_and_harms_nobody(case: Case) -> None:
    odd = case.folder / "imports" / "a b\n"
    odd.parent.mkdir()
    odd.write_bytes(b"x")
    case.put(OTHER, ago=25 * H)
    assert await case.left() == ["a b\n"]
