"""The worker with real child processes and a real PostgreSQL: every way in which a training ends."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from services.trainer.tests.tellings import told
from shipway.contract.events import (
    Payload,
    TrainingCancelRequested,
    TrainingCompleted,
    TrainingFailed,
    TrainingProgressed,
)
from shipway.contract.spec import STAGES
from shipway.runtime.consumer import Progress
from shipway.runtime.database import Database
from shipway.trainer import store
from shipway.trainer.barrier import Barrier
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.stages import key_of_output
from shipway.trainer.tables import job_stages, jobs
from shipway.trainer.worker import Worker
from shipway.trainer.workplace import Workplace

Request = Callable[..., Awaitable[None]]
QUICK = WorkerSettings(renew_s=0.1, declaration_grace_s=0)


async def job(database: Database) -> Any:
    async with database.begin() as tx:
        return (await tx.execute(sa.select(jobs))).one()


async def stages(database: Database) -> dict[str, Any]:
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(job_stages).order_by(job_stages.c.place))).all()
    return {row.stage: row for row in rows}


async def rested(database: Database) -> None:
    """Whatever rests is ready now."""
    async with database.begin() as tx:
        await tx.execute(sa.update(job_stages).values(not_before=sa.func.now()))


def ends_of_stages(events: list[Payload]) -> list[tuple[str, str]]:
    return [
        (e.stage, e.outcome) for e in events if isinstance(e, TrainingProgressed) and e.outcome in ("done", "reused")
    ]


async def until_it_runs(database: Database) -> None:
    async with asyncio.timeout(60):
        while not any(
            isinstance(event, TrainingProgressed) and (event.stage, event.message) == ("clean", "working")
            for event in await told(database)
        ):
            await asyncio.sleep(0.02)


async def test_a_training_ends_in_a_version(place: Workplace, database: Database, request_training: Request) -> None:
    await request_training()
    assert await Worker(place).step()
    completed = (await told(database))[-1]
    assert isinstance(completed, TrainingCompleted)
    assert (completed.version, completed.training_rows, completed.metrics) == (1, 10, {"auc": 0.7})
    assert completed.origin == "training"
    assert (await job(database)).state == "completed"
    assert {row.state for row in (await stages(database)).values()} == {"done"}
    assert ends_of_stages(await told(database)) == [(stage, "done") for stage in STAGES[:-1]]
    assert not await Worker(place).step()


async def test_a_stage_whose_inputs_are_unchanged_is_not_run_again(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training("r1")
    await Worker(place).step()
    await request_training("r2")
    await Worker(place).step()
    ends = ends_of_stages(await told(database))[len(STAGES) - 1 :]
    assert ends == [(stage, "done" if stage == "build" else "reused") for stage in STAGES[:-1]]
    assert [e.version for e in await told(database) if isinstance(e, TrainingCompleted)] == [1, 2]
    await request_training("r3", training={"rounds": 7})
    await Worker(place).step()
    ends = ends_of_stages(await told(database))[2 * (len(STAGES) - 1) :]
    assert [stage for stage, outcome in ends if outcome == "done"] == ["train", "build"]


async def test_own_python_is_part_of_what_a_stage_depends_on(
    place: Workplace, database: Database, request_training: Request
) -> None:
    for number, entry in enumerate(("p.m:f", "p.m:f", "p.m:g")):
        await request_training(f"r{number}", clean={"python": entry})
        await Worker(place).step()
    cleaned = [outcome for stage, outcome in ends_of_stages(await told(database)) if stage == "clean"]
    assert cleaned == ["done", "reused", "done"]
    async with database.begin() as tx:
        orders = [row.told for row in await tx.execute(sa.select(job_stages).where(job_stages.c.stage == "clean"))]
    assert {order["code"] for order in orders} == {"p.m:f", "p.m:g"}


async def test_a_stage_whose_output_is_gone_is_run_again(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training("r1")
    await Worker(place).step()
    place.store.delete(key_of_output("m", "c" * 64))
    await request_training("r2")
    await Worker(place).step()
    again = dict(ends_of_stages(await told(database))[len(STAGES) - 1 :])
    assert (again["get-data"], again["clean"], again["preprocess"]) == ("reused", "done", "reused")


async def test_what_a_stage_can_not_read_is_made_again_but_not_for_ever(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="lost@train")
    for _ in range(2):  # max_attempts of the model file
        assert await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert (failed.stage, failed.attempts) == ("train", 2)
    assert "output of the stage clean is not in the object store" in failed.reason
    assert [stage for stage, _ in ends_of_stages(await told(database))].count("clean") == 2


async def test_trainers_of_different_stages_pass_a_job_on(
    place: Workplace, database: Database, request_training: Request
) -> None:
    def of(names: str) -> Worker:
        return Worker(dataclasses.replace(place, settings=QUICK.model_copy(update={"stages": names})))

    readers, trainers, rest = of("get-data, clean"), of("train"), of("preprocess,evaluate,build,record")
    await request_training()
    steps = [await worker.step() for worker in (trainers, rest, readers, trainers, rest, readers, trainers, rest)]
    assert steps == [False, False, True, False, True, False, True, True]
    assert (await job(database)).state == "completed"
    assert len({row.stage for row in (await stages(database)).values() if row.fence == 1}) == len(STAGES)


async def test_over_its_service_level_a_stage_is_told_to_be_late(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="long", stages={"clean": {"service_level": "200ms"}})
    running = asyncio.create_task(Worker(place).step())
    async with asyncio.timeout(60):
        while not any(isinstance(e, TrainingProgressed) and e.outcome == "late" for e in await told(database)):
            await asyncio.sleep(0.02)
    assert (await stages(database))["clean"].late
    place.stopping.set()
    await running


async def test_over_its_service_level_a_stage_is_tried_again_where_that_is_asked_for(
    place: Workplace, database: Database, request_training: Request
) -> None:
    policy = {"service_level": "300ms", "on_late": "retry", "time_limit": "1s", "max_attempts": 2}
    await request_training(description="long", stages={"clean": policy})
    await Worker(place).step()
    clean = (await stages(database))["clean"]
    assert (clean.state, clean.attempts) == ("waiting", 1)
    assert clean.message == "clean: took longer than stages.clean.service_level (300ms)"
    await rested(database)
    await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert (failed.stage, failed.attempts) == ("clean", 2)
    assert failed.reason == "took longer than stages.clean.time_limit (1s); raise it or narrow data.train"


async def test_what_can_never_succeed_fails_at_once(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="refused")
    await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert (failed.reason, failed.stage, failed.attempts) == ("n: is not a column", "clean", 1)
    assert "Permanent: n: is not a column" in (await stages(database))["clean"].log_tail


async def test_an_outage_of_the_data_costs_no_attempt(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="unavailable")
    await Worker(place).step()
    after = (await stages(database))["clean"]
    assert (after.state, after.attempts, after.message) == ("waiting", 0, "the data is away")
    assert after.not_before > after.ended_at + timedelta(seconds=4)
    assert (await job(database)).state == "running"
    assert not await Worker(place).step()


async def test_crashes_are_tried_again_and_then_given_up(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="crash")
    for _ in range(2):  # max_attempts of the model file
        await rested(database)
        assert await Worker(place).step()
    failed = (await told(database))[-1]
    assert isinstance(failed, TrainingFailed)
    assert failed.reason == "gave up after 2 attempts: clean: the process was ended by SIGSEGV"


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
    await asyncio.wait_for(running, 60)
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
    after = (await stages(database))["clean"]
    assert (after.state, after.attempts, after.owner) == ("waiting", 0, None)
    assert not await worker.step()


async def test_a_run_that_lost_its_stage_ends_and_writes_nothing(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="long")
    running = asyncio.create_task(Worker(place).step())
    await until_it_runs(database)
    async with database.begin() as tx:
        await tx.execute(sa.update(job_stages).values(fence=job_stages.c.fence + 1, owner="another"))
    await asyncio.wait_for(running, 60)
    after = (await stages(database))["clean"]
    assert (after.state, after.owner) == ("running", "another")
    assert not any(isinstance(event, TrainingFailed | TrainingCompleted) for event in await told(database))


async def test_a_stage_of_a_dead_trainer_is_taken_over_and_nothing_before_it(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training(description="long@train")
    running = asyncio.create_task(Worker(place).step())
    async with asyncio.timeout(60):
        while ("preprocess", "done") not in ends_of_stages(await told(database)):
            await asyncio.sleep(0.02)
    async with database.begin() as tx:  # what it looks like when the trainer is killed now
        dead = {"owner": "dead", "fence": job_stages.c.fence + 1, "lease_until": sa.func.now() - timedelta(seconds=1)}
        await tx.execute(sa.update(jobs).values(spec=jobs.c.spec.concat({"description": ""})))
        await tx.execute(sa.update(job_stages).where(job_stages.c.stage == "train").values(**dead))
    await asyncio.wait_for(running, 60)
    heir = Worker(place)
    await heir.step()
    await rested(database)
    await heir.step()
    assert (await job(database)).state == "completed"
    found = await stages(database)
    assert (found["train"].attempts, found["train"].fence) == (2, 3)
    assert {found[name].attempts for name in ("get-data", "clean", "preprocess")} == {1}


async def test_a_whole_job_of_a_dead_trainer_of_the_release_before_is_taken_over(
    place: Workplace, database: Database, request_training: Request
) -> None:
    await request_training()
    async with database.begin() as tx:
        held = {"state": "running", "attempts": 1, "owner": "dead", "lease_until": sa.func.now() - timedelta(seconds=1)}
        await tx.execute(sa.update(jobs).values(**held))
    worker = Worker(place)
    for _ in range(2):
        await worker.step()
    assert (await job(database)).state == "completed"


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
