"""Jobs and their stages in the trainer's tables, within a transaction.

A stage is held by a lease and a fencing token that grows with every take: whoever writes to a running stage names the
token, and one that lost its lease writes nothing. Every change locks the job's row first, then the stage's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.spec import STAGES, ModelSpec, StageName, recorded_spec, to_builtins
from shipway.runtime.database import Transaction
from shipway.trainer.stages import Done, still_good
from shipway.trainer.store import storable
from shipway.trainer.tables import cancellations, declarations, job_stages, jobs, stage_outputs, versions
from shipway.trainer.training import OVER, Job, Stage, Step

_TAKING = 0x5441_4B45  # "TAKE": one trainer a schema looks for work at a time
_NUMBERING = 0x4E55_4D42  # "NUMB", with the model: version numbers without gaps or doubles


@dataclass(frozen=True)
class OpenJob:
    """A job that is not over: what decisions need, and what telling of them needs. ``joins``: by its model file."""

    job: Job
    traceparent: str | None
    joins: bool = False


@dataclass(frozen=True)
class TakenStage:
    """A stage in hand; ``fence`` proves it. ``spent_s`` is what the job's stages have taken so far."""

    job: Job
    stage: StageName
    owner: str
    fence: int
    until: datetime | None
    spec: dict[str, Any]
    origin: str
    before: tuple[Done, ...]
    spent_s: float
    traceparent: str | None


@dataclass(frozen=True)
class Hold:
    """Whether a stage is still in hand, and who wants its job cancelled."""

    held: bool
    cancelled_by: str | None


async def open_jobs(tx: Transaction) -> tuple[list[OpenJob], datetime]:
    """The jobs that are not over, and the database's time; no other trainer takes any until the transaction ends."""
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_TAKING, sa.func.hashtext(sa.func.current_schema()))))
    statement = (
        sa.select(
            jobs,
            declarations.c.model.is_not(None).label("declared"),
            declarations.c.spec["training"]["requests"].astext.label("requests"),
            cancellations.c.requested_by.label("by"),
        )
        .outerjoin(declarations, declarations.c.model == jobs.c.model)
        .outerjoin(cancellations, cancellations.c.request_id == jobs.c.request_id)
        .where(jobs.c.state.in_(("queued", "running")))
        .order_by(jobs.c.created_at, jobs.c.request_id)
    )
    rows = (await tx.execute(statement)).all()
    stages = await _stages(tx, [row.request_id for row in rows])
    now: datetime = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return [OpenJob(_job(row, stages), row.traceparent, row.requests == "join") for row in rows], now


async def begin(tx: Transaction, job: Job) -> Job:
    """Starts a queued job under the newest declaration of its model. To be called after open_jobs.

    Stages that an earlier run got done stay done as long as what they depend on is the same.

    Raises:
        Permanent: the declaration is not valid any more.
    """
    declared = (await tx.execute(sa.select(declarations.c.spec).where(declarations.c.model == job.model))).scalar_one()
    spec = recorded_spec(declared)
    started = {"started_at": sa.func.coalesce(jobs.c.started_at, sa.func.clock_timestamp())}
    values = {"state": "running", "attempts": jobs.c.attempts + 1, "spec": declared, "lease_until": None, "owner": None}
    await tx.execute(sa.update(jobs).where(jobs.c.request_id == job.request_id).values(**values, **started))
    mine = job_stages.c.request_id == job.request_id
    rows = (await tx.execute(sa.select(job_stages).where(mine).order_by(job_stages.c.place))).all()
    done = [row for row in rows if row.state == "done"]
    good = still_good([(_done(row), row.key, row.told or {}) for row in done], to_builtins(spec))
    keep = {row.stage for row in done[:good]}
    for place, name in enumerate(STAGES):
        await _renew_row(tx, job.request_id, place, name, spec, keep=name in keep)
    stages = await _stages(tx, [job.request_id])
    return Job(
        request_id=job.request_id,
        model=job.model,
        state="running",
        created_at=job.created_at,
        not_before=job.not_before,
        stages=stages[job.request_id],
    )


async def _renew_row(
    tx: Transaction, request_id: str, place: int, stage: StageName, spec: ModelSpec, *, keep: bool
) -> None:
    policy = spec.policy(stage)
    policies = {"max_attempts": policy.max_attempts, "retry_pause_s": policy.retry_pause.total_seconds()}
    fresh = {"state": "waiting", "attempts": 0, "not_before": None, "owner": None, "lease_until": None, "late": False}
    statement = insert(job_stages).values(request_id=request_id, stage=stage, place=place, **policies)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["request_id", "stage"], set_=policies if keep else policies | fresh
        )
    )


async def take(tx: Transaction, job: Job, stage: StageName, owner: str, lease: timedelta) -> TakenStage:
    """Takes a waiting stage of a running job: after open_jobs, or with the stage before it in hand."""
    until = sa.func.clock_timestamp() + lease
    # The job's own lease is for trainers of the release before, which would take over a job that has none.
    change = sa.update(jobs).where(jobs.c.request_id == job.request_id).values(lease_until=until, stage=stage)
    row = (await tx.execute(change.returning(jobs))).one()
    this = sa.and_(job_stages.c.request_id == job.request_id, job_stages.c.stage == stage)
    await tx.execute(
        sa.update(job_stages)
        .where(this, job_stages.c.state == "waiting")
        .values(
            state="running",
            attempts=job_stages.c.attempts + 1,
            owner=owner,
            lease_until=until,
            fence=job_stages.c.fence + 1,
            started_at=sa.func.clock_timestamp(),
            ended_at=None,
            reused=False,
            late=False,
            message="",
            log_tail="",
        )
    )
    of_job = sa.select(job_stages).where(job_stages.c.request_id == job.request_id).order_by(job_stages.c.place)
    rows = (await tx.execute(of_job)).all()
    stages = {job.request_id: tuple(map(_stage, rows))}
    return TakenStage(
        job=_job(row, stages, cancelled_by=job.cancelled_by),
        stage=stage,
        owner=owner,
        fence=next(r.fence for r in rows if r.stage == stage),
        until=row.until,
        spec=row.spec,
        origin=row.origin,
        before=tuple(_done(r) for r in rows if r.place < STAGES.index(stage)),
        spent_s=sum(r.seconds or 0.0 for r in rows if r.state == "done"),
        traceparent=row.traceparent,
    )


async def renew(tx: Transaction, taken: TakenStage, lease: timedelta) -> Hold:
    """Lengthens the lease of a stage in hand, even one that ran out, as long as nobody acted on that."""
    until = sa.func.clock_timestamp() + lease
    held = await _change(tx, taken, {"lease_until": until}, lease_until=until)
    statement = sa.select(cancellations.c.requested_by).where(cancellations.c.request_id == taken.job.request_id)
    return Hold(held, (await tx.execute(statement)).scalar_one_or_none())


async def note_progress(tx: Transaction, taken: TakenStage, fraction: float, message: str, *, late: bool) -> bool:
    """Writes how far a stage in hand is; False where it is not in hand any more."""
    of_job = {"stage": taken.stage, "fraction": fraction, "message": message[:1000]}
    return await _change(tx, taken, of_job, **({"late": True} if late else {"message": message[:1000]}))


async def finish(
    tx: Transaction,
    taken: TakenStage,
    done: Done,
    *,
    key: str,
    told: Mapping[str, Any],
    reused: bool,
    seconds: float,
    log_tail: str,
) -> bool:
    """Ends a stage in hand as done; False where it is not in hand any more."""
    return await _change(
        tx,
        taken,
        {},
        state="done",
        owner=None,
        lease_until=None,
        key=key,
        told=dict(told),
        output=done.output,
        result=dict(done.result),
        reused=reused,
        seconds=seconds,
        message="",
        log_tail=storable(log_tail),
        ended_at=sa.func.clock_timestamp(),
    )


async def give_up(tx: Transaction, taken: TakenStage, step: Step, log_tail: str, seconds: float) -> bool:
    """Takes a job whose due stage is in hand to its next state; False where it is not in hand any more."""
    if not await _change(tx, taken, {}, log_tail=storable(log_tail), seconds=seconds):
        return False
    await settle(tx, taken.job, step)
    return True


async def settle(tx: Transaction, job: Job, step: Step) -> None:
    """Takes a job to its next state: after open_jobs, or with its due stage in hand."""
    over = step.state in OVER
    message, now = storable(step.reason)[:4000], sa.func.clock_timestamp()
    of_job: dict[str, Any] = {"state": step.state, "message": message, "ended_at": now if over else None}
    if step.state != "running":
        of_job |= {"owner": None, "lease_until": None}
    await tx.execute(sa.update(jobs).where(jobs.c.request_id == job.request_id).values(**of_job))
    mine = job_stages.c.request_id == job.request_id
    of_stage = {
        "state": "waiting",
        "attempts": step.attempts,
        "owner": None,
        "lease_until": None,
        "not_before": now + step.rest,
        "message": message,
        "ended_at": now,
    }
    await tx.execute(sa.update(job_stages).where(mine, job_stages.c.stage == job.due.name).values(**of_stage))
    if step.back_to is not None:
        again = mine & (job_stages.c.place >= STAGES.index(step.back_to)) & (job_stages.c.state == "done")
        await tx.execute(sa.update(job_stages).where(again).values(state="waiting", attempts=0, not_before=None))
        gone = sa.select(job_stages.c.key).where(mine, job_stages.c.stage == step.back_to)
        await tx.execute(sa.delete(stage_outputs).where(stage_outputs.c.key.in_(gone)))


async def complete(tx: Transaction, taken: TakenStage, digest: str) -> int:
    """Ends a job whose last stage was just finished with a version; gives its number."""
    over = {"state": "completed", "owner": None, "lease_until": None, "ended_at": sa.func.clock_timestamp()}
    of_job = sa.update(jobs).where(jobs.c.request_id == taken.job.request_id)
    await tx.execute(of_job.values(**over, stage="done", fraction=1.0, message=""))
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_NUMBERING, sa.func.hashtext(taken.job.model))))
    highest = sa.select(sa.func.coalesce(sa.func.max(versions.c.version), 0)).where(versions.c.model == taken.job.model)
    version = int((await tx.execute(highest)).scalar_one()) + 1
    values = {"model": taken.job.model, "version": version, "request_id": taken.job.request_id, "digest": digest}
    await tx.execute(sa.insert(versions).values(values))
    return version


async def known_output(tx: Transaction, model: str, key: str) -> Done | None:
    """What a stage of this key gave before, marked as used now."""
    this = sa.update(stage_outputs).where(stage_outputs.c.key == key, stage_outputs.c.model == model)
    row = (await tx.execute(this.values(used_at=sa.func.now()).returning(stage_outputs))).one_or_none()
    return None if row is None else Done(row.stage, row.output, row.result)


async def keep_output(tx: Transaction, model: str, key: str, done: Done) -> None:
    """Remembers what a stage gave, for runs to come."""
    values = {"key": key, "model": model, "stage": done.stage, "output": done.output, "result": dict(done.result)}
    statement = insert(stage_outputs).values(values)
    again = {"output": done.output, "result": dict(done.result), "used_at": sa.func.now()}
    await tx.execute(statement.on_conflict_do_update(index_elements=["key"], set_=again))


async def _change(tx: Transaction, taken: TakenStage, of_job: Mapping[str, Any], **of_stage: Any) -> bool:
    mine = sa.and_(jobs.c.request_id == taken.job.request_id, jobs.c.state == "running", jobs.c.owner.is_(None))
    if (await tx.execute(sa.select(jobs.c.request_id).where(mine).with_for_update())).one_or_none() is None:
        return False
    in_hand = sa.and_(
        job_stages.c.request_id == taken.job.request_id,
        job_stages.c.stage == taken.stage,
        job_stages.c.fence == taken.fence,
        job_stages.c.state == "running",
    )
    if (await tx.execute(sa.update(job_stages).where(in_hand).values(**of_stage))).rowcount != 1:
        return False
    if of_job:
        await tx.execute(sa.update(jobs).where(mine).values(**of_job))
    return True


async def _stages(tx: Transaction, request_ids: Sequence[str]) -> dict[str, tuple[Stage, ...]]:
    statement = sa.select(job_stages).where(job_stages.c.request_id.in_(request_ids)).order_by(job_stages.c.place)
    found: dict[str, tuple[Stage, ...]] = {}
    for row in (await tx.execute(statement)).all():
        found[row.request_id] = (*found.get(row.request_id, ()), _stage(row))
    return found


def _stage(row: Any) -> Stage:
    return Stage(
        name=row.stage,
        state=row.state,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        retry_pause=timedelta(seconds=row.retry_pause_s),
        not_before=row.not_before,
        lease_until=row.lease_until,
    )


def _done(row: Any) -> Done:
    return Done(row.stage, row.output, row.result or {})


def _job(row: Any, stages: Mapping[str, tuple[Stage, ...]], cancelled_by: str | None = None) -> Job:
    return Job(
        request_id=row.request_id,
        model=row.model,
        state=row.state,
        created_at=row.created_at,
        not_before=row.not_before,
        stages=stages.get(row.request_id, ()),
        declared=getattr(row, "declared", True),
        cancelled_by=getattr(row, "by", cancelled_by),
        owner=row.owner,
        lease_until=row.lease_until,
        until=row.until,
        joins=row.origin == "training",
    )
