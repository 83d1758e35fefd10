"""The trainer's tables on a real PostgreSQL: requests, leases, fencing tokens, version numbers."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from shipway.contract.envelope import Envelope, decode
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.events import ModelDeclared, SubjectForgetRequested, TrainingCancelRequested, TrainingRequested
from shipway.contract.spec import parse_spec, to_builtins
from shipway.runtime.database import Database, Transaction
from shipway.runtime.delivery import outbox
from shipway.runtime.migrations import migrate
from shipway.trainer import completing, handlers, jobrows, outputstore, stagestore, store, taking
from shipway.trainer.jobrows import TakenStage
from shipway.trainer.stages import Done, key_of
from shipway.trainer.tables import declarations, jobs, metadata, stage_outputs
from shipway.trainer.training import Step

T0 = datetime(2026, 1, 1, tzinfo=UTC)
Request = Callable[..., Awaitable[None]]
RawSpec = Callable[..., dict[str, Any]]
Wrap = Callable[..., Envelope]
LEASE = timedelta(seconds=15)
BACK = Step("running", 1, timedelta(0), "again")


async def take(database: Database, lease: timedelta = LEASE) -> TakenStage:
    """Begins the oldest queued job, and takes the stage that is due."""
    async with database.begin() as tx:
        opened, _ = await jobrows.open_jobs(tx)
        job = next(o.job for o in opened if o.job.due.state == "waiting")
        if job.state == "queued":
            job = await taking.begin(tx, job)
        return await taking.take(tx, job, job.due.name, "me", lease)


async def finish(tx: Transaction, taken: TakenStage) -> bool:
    done = Done(taken.stage, "a" * 64, {"rows": 1})
    return await stagestore.finish(tx, taken, done, key="k", told={}, reused=False, seconds=1.5, log_tail="log\x00")


async def row(database: Database, request_id: str = "r1") -> Any:
    async with database.begin() as tx:
        return (await tx.execute(sa.select(jobs).where(jobs.c.request_id == request_id))).one()


async def test_migrations_go_up_and_down_and_match_the_tables(database: Database) -> None:
    async with database.begin() as tx:
        found = await tx.run_sync(lambda c: {t: _columns(c, t) for t in sa.inspect(c).get_table_names(database.schema)})
    for table in metadata.sorted_tables:
        assert found[table.name] == [(c.name, c.nullable) for c in table.columns]
    await migrate(database, "shipway.trainer", "base")
    async with database.begin() as tx:
        left = await tx.run_sync(lambda c: sa.inspect(c).get_table_names(database.schema))
    assert left == ["alembic_version"]
    await migrate(database, "shipway.trainer")


def _columns(connection: sa.Connection, table: str) -> list[tuple[str, bool]]:
    return [(c["name"], bool(c["nullable"])) for c in sa.inspect(connection).get_columns(table, "trainer")]


async def test_a_repeated_request_is_the_same_job_and_accepted_once(
    database: Database, request_training: Request
) -> None:
    await request_training()
    await request_training()
    async with database.begin() as tx:
        types = [dict(decode_headers(r.headers))["ce_type"] for r in (await tx.execute(sa.select(outbox))).all()]
    assert types == [b"shipway.TrainingAccepted.v1"]


def decode_headers(raw: bytes) -> list[tuple[str, bytes]]:
    return msgspec.msgpack.decode(raw, type=list[tuple[str, bytes]])


@pytest.mark.parametrize(
    "wrong",
    [
        TrainingRequested(model="m", request_id=""),
        TrainingRequested(model="Not A Name", request_id="r"),
        TrainingRequested(model="m", request_id="r", until=T0.replace(tzinfo=None)),
    ],
)
async def test_a_wrong_request_is_refused_with_its_field(
    database: Database, wrong: TrainingRequested, envelope: Wrap
) -> None:
    async with database.begin() as tx:
        with pytest.raises(InvalidField):
            await handlers.on_training_requested(tx, wrong, envelope(wrong))


async def test_a_wrong_model_file_is_refused(database: Database, raw_spec: RawSpec, envelope: Wrap) -> None:
    for spec in (raw_spec(rounds=3), raw_spec(name="other")):
        declared = ModelDeclared(model="m", spec=spec, declared_by="ann")
        async with database.begin() as tx:
            with pytest.raises(Permanent):
                await handlers.on_model_declared(tx, declared, envelope(declared))


async def test_an_older_declaration_does_not_replace_a_newer_one(
    database: Database, raw_spec: RawSpec, envelope: Wrap
) -> None:
    for description, at in (("new", T0 + timedelta(hours=1)), ("old", T0)):
        declared = ModelDeclared(model="m", spec=raw_spec(description=description), declared_by="ann")
        async with database.begin() as tx:
            await handlers.on_model_declared(tx, declared, envelope(declared, description, at))
    async with database.begin() as tx:
        assert await store.tell_declarations_again(tx) == 1
        again = (await tx.execute(sa.select(outbox))).one()
    event = decode(again.value, decode_headers(again.headers))
    assert (event.id, event.source, event.time) == ("new", "client", T0 + timedelta(hours=1))
    assert isinstance(event.payload, ModelDeclared)
    assert event.payload.spec["description"] == "new"


async def test_a_job_starts_with_the_newest_declaration(
    database: Database, request_training: Request, raw_spec: RawSpec, envelope: Wrap
) -> None:
    await request_training()
    policies = {"training": {"max_attempts": 7}, "stages": {"get-data": {"max_attempts": 5, "retry_pause": "9s"}}}
    newer = ModelDeclared(model="m", spec=raw_spec(**policies), declared_by="ann")
    async with database.begin() as tx:
        await handlers.on_model_declared(tx, newer, envelope(newer, "e2", T0 + timedelta(1)))
    taken = await take(database)
    stages = {stage.name: stage for stage in taken.job.stages}
    assert (taken.stage, taken.fence, stages["get-data"].attempts) == ("get-data", 1, 1)
    assert (stages["get-data"].max_attempts, stages["get-data"].retry_pause) == (5, timedelta(seconds=9))
    assert stages["train"].max_attempts == 7
    assert (await row(database)).spec == newer.spec


async def test_a_zombie_writes_nothing(database: Database, request_training: Request) -> None:
    await request_training()
    zombie = await take(database)
    async with database.begin() as tx:
        await stagestore.settle(tx, zombie.job, BACK)
    heir = await take(database)
    assert heir.fence > zombie.fence
    before = await row(database)
    async with database.begin() as tx:
        assert not (await stagestore.renew(tx, zombie, LEASE)).held
        assert not await stagestore.note_progress(tx, zombie, stagestore.News(0.5, "zombie"))
        assert not await stagestore.give_up(tx, zombie, Step("failed", 1, timedelta(0), "zombie"), "", 1.0)
        assert not await finish(tx, zombie)
    assert await row(database) == before
    async with database.begin() as tx:
        assert await finish(tx, heir)
        assert not await finish(tx, heir)


async def test_a_lease_that_ran_out_is_renewed_while_nobody_acted_on_it(
    database: Database, request_training: Request
) -> None:
    await request_training()
    taken = await take(database, timedelta(seconds=-1))
    async with database.begin() as tx:
        assert (await stagestore.renew(tx, taken, LEASE)).held


async def test_a_trainer_of_the_release_before_that_took_the_job_over_shuts_ours_out(
    database: Database, request_training: Request
) -> None:
    await request_training()
    taken = await take(database)
    async with database.begin() as tx:
        await tx.execute(sa.update(jobs).values(owner="older"))
        assert not (await stagestore.renew(tx, taken, LEASE)).held
        assert not await finish(tx, taken)


async def test_a_second_run_keeps_what_is_done_until_what_it_depends_on_changes(
    database: Database, request_training: Request
) -> None:
    await request_training()
    spec = to_builtins(parse_spec(await take_spec(database)))
    taken = await take(database)
    before: list[Done] = []
    for name in ("get-data", "clean", "preprocess"):
        done = Done(name, "a" * 64, {"rows": 1})
        key = key_of(done.stage, spec, {}, before)
        before.append(done)
        async with database.begin() as tx:
            assert await stagestore.finish(tx, taken, done, key=key, told={}, reused=False, seconds=1.5, log_tail="")
        taken = await take(database)
    assert (taken.stage, taken.spent_s, [done.stage for done in taken.before]) == (
        "train",
        4.5,
        ["get-data", "clean", "preprocess"],
    )
    for changes, due in (({}, "train"), ({"training": {"min_rows": 11}}, "clean")):
        async with database.begin() as tx:
            await stagestore.settle(tx, taken.job, Step("failed", 1, timedelta(0), "why"))
            await tx.execute(sa.update(jobs).values(state="queued"))
        await declare(database, changes)
        taken = await take(database)
        assert taken.stage == due


async def take_spec(database: Database) -> Any:
    async with database.begin() as tx:
        return (await tx.execute(sa.select(declarations.c.spec))).scalar_one()


async def declare(database: Database, changes: dict[str, Any]) -> None:
    async with database.begin() as tx:
        spec = (await tx.execute(sa.select(declarations.c.spec))).scalar_one()
        await tx.execute(sa.update(declarations).values(spec=spec | changes))


async def test_versions_are_numbered_by_model_without_gaps(database: Database, request_training: Request) -> None:
    numbers = []
    for i, model in enumerate(["m", "n", "m", "m"]):
        await request_training(f"r{i}", model)
        taken = await take(database)
        async with database.begin() as tx:
            numbers.append((model, await completing.complete(tx, taken, "a" * 64)))
    assert numbers == [("m", 1), ("n", 1), ("m", 2), ("m", 3)]


async def test_an_output_is_known_by_its_model_and_key(database: Database) -> None:
    done = Done("clean", "a" * 64, {"rows": 1})
    async with database.begin() as tx:
        await outputstore.keep_output(tx, "m", "k", done)
        await outputstore.keep_output(tx, "m", "k", done)
        assert await outputstore.known_output(tx, "m", "k") == done
        assert await outputstore.known_output(tx, "m", "other") is None
        assert await outputstore.known_output(tx, "n", "k") is None


async def test_a_cancellation_that_comes_first_is_kept(
    database: Database, request_training: Request, envelope: Wrap
) -> None:
    command = TrainingCancelRequested(model="m", request_id="r1", requested_by="ann")
    async with database.begin() as tx:
        await handlers.on_cancel_requested(tx, command, envelope(command))
    await request_training()
    async with database.begin() as tx:
        opened, _ = await jobrows.open_jobs(tx)
    assert opened[0].job.cancelled_by == "ann"


async def test_what_stages_kept_of_a_model_is_dropped_and_found_by_no_run(database: Database, envelope: Wrap) -> None:
    done = Done("clean", "b" * 64, {"rows": 1})
    async with database.begin() as tx:
        for model in ("m", "n"):
            await outputstore.keep_output(tx, model, f"k{model}", done)
        command = SubjectForgetRequested(model="m", command_id="c1", subject="ann", requested_by="x")
        await handlers.HANDLERS[SubjectForgetRequested](tx, command, envelope(command))
        assert await outputstore.known_output(tx, "m", "km") is None
        assert await outputstore.known_output(tx, "n", "kn") == done
        await outputstore.keep_output(tx, "m", "km", done)
        assert await outputstore.known_output(tx, "m", "km") == done, "what is made anew is another"
        used = sa.select(stage_outputs.c.used_at).where(stage_outputs.c.key == "km:c1")
        assert (await tx.execute(used)).scalar_one().year == 1970, "the sweep takes it next"
