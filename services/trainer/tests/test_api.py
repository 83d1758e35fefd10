"""Jobs on record: what the read API shows of one that failed, and how a command runs it again from where it failed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.events import TrainingCancelRequested, TrainingRetryRequested
from shipway.contract.spec import STAGES
from shipway.runtime.database import Database
from shipway.trainer import handlers, jobrows, stagestore
from shipway.trainer.api import add_routes
from shipway.trainer.settings import AuthSettings, TrainerSettings
from shipway.trainer.tables import declarations, job_stages
from shipway.trainer.training import Step
from shipway.trainer.worker import Worker
from shipway.trainer.workplace import Workplace

Request = Callable[..., Awaitable[None]]


@pytest.fixture
async def api(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    add_routes(app, database)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://trainer") as client:
        yield client


async def retry(database: Database, envelope: Callable[..., Envelope], **fields: Any) -> None:
    command = TrainingRetryRequested(**({"model": "m", "request_id": "r1", "requested_by": "ann"} | fields))
    async with database.begin() as tx:
        await handlers.on_retry_requested(tx, command, envelope(command))


async def takes(database: Database) -> dict[str, int]:
    """How often each stage was taken."""
    async with database.begin() as tx:
        return {row.stage: row.fence for row in await tx.execute(sa.select(job_stages))}


async def mend(database: Database, **changes: Any) -> None:
    async with database.begin() as tx:
        await tx.execute(sa.update(declarations).values(spec=declarations.c.spec.concat(changes)))


async def test_a_failed_job_is_on_record_and_run_again_from_the_stage_that_failed(
    place: Workplace, database: Database, api: httpx.AsyncClient, request_training: Request, envelope: Any
) -> None:
    await request_training(description="refused@train")
    await Worker(place).step()
    job = (await api.get("/api/jobs/r1")).json()
    assert (job["state"], job["stage"], job["version"]) == ("failed", "train", None)
    assert job["message"] == "n: is not a column"
    states = {stage["stage"]: stage["state"] for stage in job["stages"]}
    assert [name for name, state in states.items() if state == "done"] == list(STAGES[:3])
    log = (await api.get("/api/jobs/r1/log")).json()
    assert log["stage"] == "train"
    assert "Traceback" in log["log"] and "Permanent: n: is not a column" in log["log"]
    assert (await api.get("/api/jobs/r1/log", params={"stage": "clean"})).json()["stage"] == "clean"
    await mend(database, description="")
    await retry(database, envelope)
    await Worker(place).step()
    job = (await api.get("/api/jobs/r1")).json()
    assert (job["state"], job["version"], job["fraction"]) == ("completed", 1, 1.0)
    fences = await takes(database)
    assert {name: fences[name] for name in STAGES} == {name: 2 if name == "train" else 1 for name in STAGES}


async def test_a_job_is_run_again_from_a_stage_that_was_done(
    place: Workplace, database: Database, api: httpx.AsyncClient, request_training: Request, envelope: Any
) -> None:
    await request_training(description="refused@train")
    await Worker(place).step()
    await mend(database, description="")
    await retry(database, envelope, stage="clean")
    await Worker(place).step()
    job = (await api.get("/api/jobs/r1")).json()
    assert [s["stage"] for s in job["stages"] if s["reused"]] == []
    fences = await takes(database)
    assert (fences["get-data"], fences["clean"], fences["preprocess"]) == (1, 2, 2)


async def test_a_cancelled_job_is_run_again_and_only_once_for_a_command_that_came_twice(
    database: Database, request_training: Request, envelope: Any
) -> None:
    await request_training()
    async with database.begin() as tx:
        opened, _ = await jobrows.open_jobs(tx)
        cancelled = TrainingCancelRequested(model="m", request_id="r1")
        await handlers.on_cancel_requested(tx, cancelled, envelope(cancelled))
        await stagestore.settle(tx, opened[0].job, Step("cancelled", 0, timedelta(0), "why"))
    await retry(database, envelope)
    async with database.begin() as tx:
        opened, _ = await jobrows.open_jobs(tx)
    assert (opened[0].job.state, opened[0].job.cancelled_by) == ("queued", None)
    with pytest.raises(InvalidField, match="request_id: the job is queued; only one that failed"):
        await retry(database, envelope)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"request_id": "other"}, "no job"), ({"model": "n"}, "no job"), ({"stage": "x"}, "stage: 'x' is not one of")],
)
async def test_a_wrong_command_is_refused_with_its_field(
    database: Database, request_training: Request, envelope: Any, fields: dict[str, Any], words: str
) -> None:
    await request_training()
    with pytest.raises(InvalidField, match=words):
        await retry(database, envelope, **fields)


async def test_jobs_are_listed_by_model_and_state(api: httpx.AsyncClient, request_training: Request) -> None:
    for request_id, model in (("r1", "m"), ("r2", "n"), ("r3", "m")):
        await request_training(request_id, model)

    async def found(**asked: Any) -> list[str]:
        return [job["request_id"] for job in (await api.get("/api/jobs", params=asked)).json()["jobs"]]

    assert await found() == ["r3", "r2", "r1"]
    assert await found(model="m", state="queued", limit=1) == ["r3"]
    assert await found(state="failed") == []
    assert (await api.get("/api/jobs/none")).status_code == 404
    assert (await api.get("/api/jobs/r1/log", params={"stage": "clean"})).status_code == 404
    assert (await api.get("/api/jobs", params={"state": "lost"})).status_code == 422


def test_jobs_are_shown_only_where_tokens_are_asked_for_or_nobody_else_can_ask() -> None:
    near, far = TrainerSettings(), TrainerSettings(http=TrainerSettings().http.model_copy(update={"host": "0.0.0.0"}))
    assert (near.shows_jobs, far.shows_jobs) == (True, False)
    assert far.model_copy(update={"auth": AuthSettings(off=True)}).shows_jobs
