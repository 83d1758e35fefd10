"""The worker with real child processes and a real PostgreSQL: every way in which a training ends."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from shipway.contract.envelope import decode
from shipway.contract.events import (
    Payload,
    TrainingCancelRequested,
    TrainingCompleted,
    TrainingFailed,
    TrainingProgressed,
)
from shipway.runtime.consumer import Progress
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox
from shipway.runtime.kafka import Producer
from shipway.runtime.parts import Parts
from shipway.runtime.relay import Relay
from shipway.runtime.settings import DataSettings, KafkaSettings, ObjectsSettings
from shipway.trainer import store
from shipway.trainer.barrier import Barrier
from shipway.trainer.run import Workplace
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.tables import jobs
from shipway.trainer.worker import Worker

Request = Callable[..., Awaitable[None]]
QUICK = WorkerSettings(renew_s=0.1, declaration_grace_s=0)


@pytest.fixture
def place(database: Database, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    producer = Producer(KafkaSettings(), "never started")
    parts = Parts("trainer", database, producer, Relay(database, producer, KafkaSettings()))
    barrier = Barrier(all_read, time.monotonic)
    return Workplace(parts, QUICK, ObjectsSettings(), DataSettings(), barrier, child="trainer_child")


async def all_read() -> dict[int, Progress]:
    return {0: Progress(committed=1, end=1)}


async def told(database: Database) -> list[Payload]:
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
    return [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])).payload for r in rows]


async def job(database: Database) -> Any:
    async with database.begin() as tx:
        return (await tx.execute(sa.select(jobs))).one()


async def until_it_runs(database: Database) -> None:
    async with asyncio.timeout(20):
        while not any(isinstance(event, TrainingProgressed) for event in await told(database)):
            await asyncio.sleep(0.02)


async def test_a_training_ends_in_a_version(place: Workplace, database: Database, request_training: Request) -> None:
    await request_training()
    assert await Worker(place).step()
    completed = (await told(database))[-1]
    assert isinstance(completed, TrainingCompleted)
    assert (completed.version, completed.training_rows, completed.metrics) == (1, 10, {"auc": 0.7})
    assert (await job(database)).state == "completed"
    assert not await Worker(place).step()


async def test_what_can_never_succeed_fails_at_once(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="refused")
    await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert (failed.reason, failed.stage, failed.attempts) == ("n: is not a column", "data", 1)


async def test_an_outage_of_the_data_costs_no_attempt(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="unavailable")
    await Worker(place).step()
    after = await job(database)
    assert (after.state, after.attempts, after.message) == ("queued", 0, "the data is away")
    assert after.not_before > after.created_at + timedelta(seconds=4)


async def test_crashes_are_tried_again_and_then_given_up(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="crash")
    for _ in range(2):  # max_attempts of the model file
        async with database.begin() as tx:
            await tx.execute(sa.update(jobs).values(not_before=sa.func.now()))
        assert await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert failed.reason == "gave up after 2 attempts: data: the process was ended by SIGSEGV"


async def test_a_training_over_its_time_limit_is_ended(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="long", training={"time_limit": "1s"})
    await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert failed.reason == "took longer than training.time_limit (1s); raise it or narrow data.train"


async def test_a_running_training_is_cancelled(place: Workplace, database: Database, request_training: Request) -> None:
    await request_training(description="long")
    worker = Worker(place)
    running = asyncio.create_task(worker.step())
    await until_it_runs(database)
    async with database.begin() as tx:
        await store.wish_cancelled(tx, TrainingCancelRequested(model="m", request_id="r1", requested_by="ann"))
    worker.look()
    await asyncio.wait_for(running, 20)
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert failed.reason == "cancelled by ann"
    assert (await job(database)).state == "cancelled"


async def test_a_stop_gives_the_job_back_without_counting_it(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="long")
    worker = Worker(place)
    running = asyncio.create_task(worker.step())
    await until_it_runs(database)
    await worker.stop()
    assert running.done() or await asyncio.wait_for(running, 1)
    after = await job(database)
    assert (after.state, after.attempts, after.owner) == ("queued", 0, None)
    assert not await worker.step()


async def test_a_run_that_lost_its_job_ends_and_writes_nothing(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="long")
    running = asyncio.create_task(Worker(place).step())
    await until_it_runs(database)
    async with database.begin() as tx:
        await tx.execute(sa.update(jobs).values(fence=jobs.c.fence + 1, owner="another"))
    await asyncio.wait_for(running, 20)
    after = await job(database)
    assert (after.state, after.owner) == ("running", "another")
    assert not any(isinstance(event, TrainingFailed | TrainingCompleted) for event in await told(database))


async def test_a_job_of_a_dead_trainer_is_taken_over(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training()
    async with database.begin() as tx:
        opened, _ = await store.open_jobs(tx)
        await store.take(tx, opened[0].job, "dead", timedelta(seconds=-1))
    worker = Worker(place)
    await worker.step()
    async with database.begin() as tx:
        await tx.execute(sa.update(jobs).values(not_before=sa.func.now()))
    await worker.step()
    after = await job(database)
    assert (after.state, after.attempts, after.fence) == ("completed", 2, 2)


async def test_a_request_for_an_undeclared_model_fails_with_the_remedy(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(declared=False)
    assert not await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert failed.reason == "model 'm' is not declared; run: shipway model declare FILE.toml"


async def test_a_request_waits_until_what_was_declared_before_it_is_read(
    place: Workplace, database: Database, request_training: Request
) -> None:
    read = 0

    async def progress() -> dict[int, Progress]:
        return {0: Progress(committed=read, end=1)}

    place = dataclasses.replace(place, barrier=Barrier(progress, time.monotonic))
    await request_training(declared=False)
    assert not await Worker(place).step()
    assert (await job(database)).state == "queued"
    read = 1
    assert not await Worker(place).step()
    assert (await job(database)).state == "failed"
