"""An import as a job: the command that asks for it, its stages and files, the version that comes of it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from services.trainer.tests.tellings import told
from shipway.contract.errors import InvalidField
from shipway.contract.events import ModelImportRequested, TrainingCompleted
from shipway.runtime.database import Database
from shipway.trainer import handlers, reading
from shipway.trainer.kinds import STAGES_OF
from shipway.trainer.tables import job_stages, jobs
from shipway.trainer.worker import Worker
from shipway.trainer.workplace import Workplace

Request = Callable[..., Awaitable[None]]
FILES = {"model.txt": "1" * 64, "signature.json": "2" * 64}


@pytest.fixture
def command(database: Database, envelope: Any) -> Request:
    """Gives the import's command to the trainer."""

    async def give(**fields: Any) -> None:
        asked = ModelImportRequested(**({"model": "m", "request_id": "i", "files": FILES} | fields))
        async with database.begin() as tx:
            await handlers.on_import_requested(tx, asked, envelope(asked))

    return give


async def test_an_import_ends_in_a_version_that_says_where_it_is_from(
    place: Workplace, database: Database, request_training: Request, command: Request
) -> None:
    await request_training("none")
    async with database.begin() as tx:
        await tx.execute(sa.delete(jobs))
    await command()
    await command()
    assert await Worker(place).step() and not await Worker(place).step()
    completed = [event for event in await told(database) if isinstance(event, TrainingCompleted)]
    assert [(one.request_id, one.version, one.origin) for one in completed] == [("i", 1, "import")]
    async with database.begin() as tx:
        job = await reading.job(tx, "i")
        orders = {row.stage: row.told for row in await tx.execute(sa.select(job_stages))}
    assert job is not None
    assert [stage["stage"] for stage in job["stages"]] == list(STAGES_OF["import"])
    assert orders["preprocess"] == {"signature.json": "2" * 64}
    assert orders["import"] == {"model.txt": "1" * 64}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"files": {"model.txt": "1" * 64}}, "files: lacks signature.json"),
        ({"files": FILES | {"model.pkl": "3" * 64}}, "files: 'model.pkl' is not"),
        ({"files": FILES | {"model.txt": "../../etc/passwd"}}, "digest: must be 64"),
        ({"request_id": ""}, "request_id"),
        ({"model": "No Name"}, "model"),
    ],
)
async def test_a_wrong_command_is_refused_with_its_field(command: Request, fields: Any, words: str) -> None:
    with pytest.raises(InvalidField, match=words):
        await command(**fields)
