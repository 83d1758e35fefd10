"""Searches as jobs, with real child processes and a real PostgreSQL: candidates, retries, take-over, refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.trainer.tests.tellings import told
from shipway.contract.errors import InvalidField
from shipway.contract.events import (
    SearchCompleted,
    TrainingAccepted,
    TrainingCancelRequested,
    TrainingCompleted,
    TrainingFailed,
    TrainingRetryRequested,
)
from shipway.runtime.database import Database
from shipway.trainer import reading, store
from shipway.trainer.kinds import STAGES_OF
from shipway.trainer.tables import declarations, job_stages, jobs
from shipway.trainer.worker import Worker
from shipway.trainer.workplace import Workplace

Request = Callable[..., Awaitable[None]]


async def shown(database: Database, request_id: str = "s") -> dict[str, Any]:
    async with database.begin() as tx:
        job = await reading.job(tx, request_id)
    assert job is not None
    return job


async def knows_a_trial(database: Database) -> None:
    async with asyncio.timeout(60):
        while not any((s["result"] or {}).get("trials") for s in (await shown(database))["stages"]):
            await asyncio.sleep(0.02)


async def declared(database: Database, request_training: Request, **changes: Any) -> None:
    """The model, without a job."""
    await request_training("none", **changes)
    async with database.begin() as tx:
        await tx.execute(sa.delete(jobs))


async def test_a_search_ends_in_candidates_that_are_trained_with_what_it_found(
    place: Workplace, database: Database, request_training: Request, request_search: Request
) -> None:
    await declared(database, request_training)
    await request_search(trials=3, candidates=2)
    worker = Worker(place)
    assert await worker.step()
    events = await told(database)
    completed = next(event for event in events if isinstance(event, SearchCompleted))
    assert [(one.request_id, one.params) for one in completed.candidates] == [
        ("s.1", {"num_leaves": 7}),
        ("s.2", {"num_leaves": 9}),
    ]
    assert (completed.metric, completed.baseline) == ("auc", 0.6)
    accepted = [event.request_id for event in events if isinstance(event, TrainingAccepted)]
    assert accepted[-2:] == ["s.1", "s.2"]
    assert await worker.step() and await worker.step() and not await worker.step()
    versions = [event for event in await told(database) if isinstance(event, TrainingCompleted)]
    assert [(one.request_id, one.version, one.origin) for one in versions] == [
        ("s.1", 1, "search"),
        ("s.2", 2, "search"),
    ]
    assert [one.bundle_bytes for one in versions] == [7, 9]  # what trainer_child makes of the parameters
    job, candidate = await shown(database), await shown(database, "s.1")
    assert (job["origin"], job["state"], job["message"]) == ("search", "completed", "3 of 3 trials")
    assert [stage["stage"] for stage in job["stages"]] == list(STAGES_OF["search"])
    assert (candidate["origin"], candidate["requested_by"]) == ("candidate", "ann")
    assert "found by the search s: 3 of 3 trials" in candidate["reason"]
    reused = {stage["stage"] for stage in candidate["stages"] if stage["reused"]}
    assert reused == {"get-data", "clean", "preprocess"}


async def test_a_search_keeps_no_training_of_its_model_waiting(
    place: Workplace, database: Database, request_training: Request, request_search: Request
) -> None:
    await declared(database, request_training, description="long@search")
    await request_search()
    searching = asyncio.create_task(Worker(place).step())
    await knows_a_trial(database)
    async with database.begin() as tx:
        await tx.execute(sa.update(jobs).where(jobs.c.request_id == "s").values(created_at=sa.func.now()))
    await request_training("r1", description="long@search")
    assert await Worker(place).step()
    assert (await shown(database, "r1"))["state"] == "completed"
    place.stopping.set()
    await searching


async def test_a_search_of_a_dead_trainer_goes_on_after_its_last_trial(
    place: Workplace, database: Database, request_training: Request, request_search: Request
) -> None:
    await declared(database, request_training, description="long@search")
    await request_search()
    running = asyncio.create_task(Worker(place).step())
    await knows_a_trial(database)
    async with database.begin() as tx:  # what it looks like when the trainer is killed now
        dead = {"owner": "dead", "fence": job_stages.c.fence + 1, "lease_until": sa.func.now() - timedelta(seconds=1)}
        await tx.execute(sa.update(jobs).values(spec=jobs.c.spec.concat({"description": ""})))
        await tx.execute(sa.update(job_stages).where(job_stages.c.stage == "search").values(**dead))
    await asyncio.wait_for(running, 60)
    heir = Worker(place)
    await heir.step()
    async with database.begin() as tx:
        await tx.execute(sa.update(job_stages).values(not_before=sa.func.now()))
    await heir.step()
    job = await shown(database)
    (search,) = (stage for stage in job["stages"] if stage["stage"] == "search")
    assert (job["state"], search["attempts"], len(search["result"]["trials"])) == ("completed", 2, 2)


async def test_a_search_is_cancelled_and_run_again_from_where_it_was(
    place: Workplace, database: Database, request_training: Request, request_search: Request
) -> None:
    await declared(database, request_training, description="long@search")
    await request_search()
    worker = Worker(place)
    running = asyncio.create_task(worker.step())
    await knows_a_trial(database)
    async with database.begin() as tx:
        await store.wish_cancelled(tx, TrainingCancelRequested(model="m", request_id="s", requested_by="ann"))
    worker.look()
    await asyncio.wait_for(running, 60)
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert (failed.reason, failed.stage) == ("cancelled by ann", "search")
    async with database.begin() as tx:
        with pytest.raises(InvalidField, match="stage: a search has no stage 'train'"):
            await store.retry(tx, TrainingRetryRequested(model="m", request_id="s", stage="train"))
        assert await store.retry(tx, TrainingRetryRequested(model="m", request_id="s")) == "cancelled"
    await declared_again(database)
    await worker.step()
    (search,) = (stage for stage in (await shown(database))["stages"] if stage["stage"] == "search")
    assert (search["state"], len(search["result"]["trials"])) == ("done", 2)


async def declared_again(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(sa.update(declarations).values(spec=declarations.c.spec.concat({"description": ""})))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"trials": 0}, "trials"),
        ({"candidates": 99}, "candidates"),
        ({"time_limit_s": -1.0}, "time_limit"),
        ({"time_limit_s": 1e99}, "time_limit"),
        ({"request_id": ""}, "request_id"),
    ],
)
async def test_a_wrong_search_is_refused_with_its_field(request_search: Request, asked: Any, words: str) -> None:
    with pytest.raises(InvalidField, match=words):
        await request_search(**asked)
