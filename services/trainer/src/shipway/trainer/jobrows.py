"""Reading jobs and their stages from the trainer's tables, within a transaction: as what decisions and runs need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from shipway.runtime.database import Transaction
from shipway.trainer.kinds import StageName
from shipway.trainer.stages import Done
from shipway.trainer.tables import cancellations, declarations, job_stages, jobs
from shipway.trainer.training import Job, Stage

_TAKING = 0x5441_4B45  # "TAKE": one trainer a schema looks for work at a time


@dataclass(frozen=True)
class OpenJob:
    """A job that is not over: what decisions need, and what telling of them needs. ``joins``: by its model file."""

    job: Job
    traceparent: str | None
    joins: bool = False


@dataclass(frozen=True)
class TakenStage:
    """A stage in hand; ``fence`` proves it. ``spent_s`` is what the job's stages have taken so far.

    ``known_key`` and ``known`` are of an earlier run of the stage that did not come to its end. ``asked`` is what was
    asked for besides a training: ``spec``, laid over the model file; ``asked_at``, in place of the job's own time;
    ``files`` of an import, by their SHA-256.
    """

    job: Job
    stage: StageName
    owner: str
    fence: int
    until: datetime | None
    spec: dict[str, Any]
    before: tuple[Done, ...]
    spent_s: float
    traceparent: str | None
    known_key: str = ""
    known: Mapping[str, Any] | None = None
    requested_by: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)


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
    stages = await stages_of(tx, [row.request_id for row in rows])
    now: datetime = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return [OpenJob(job_of(row, stages), row.traceparent, row.requests == "join") for row in rows], now


async def stages_of(tx: Transaction, request_ids: Sequence[str]) -> dict[str, tuple[Stage, ...]]:
    """The stages of jobs, by request id, each in its place; a job that never ran has none."""
    statement = sa.select(job_stages).where(job_stages.c.request_id.in_(request_ids)).order_by(job_stages.c.place)
    found: dict[str, tuple[Stage, ...]] = {}
    for row in (await tx.execute(statement)).all():
        found[row.request_id] = (*found.get(row.request_id, ()), stage_of(row))
    return found


def job_of(row: Any, stages: Mapping[str, tuple[Stage, ...]], cancelled_by: str | None = None) -> Job:
    """A job from its row, and its stages."""
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
        kind=row.origin,
    )


def stage_of(row: Any) -> Stage:
    """A stage from its row."""
    return Stage(
        name=row.stage,
        state=row.state,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        retry_pause=timedelta(seconds=row.retry_pause_s),
        not_before=row.not_before,
        lease_until=row.lease_until,
    )


def done_of(row: Any) -> Done:
    """What a stage that is done gave, from its row."""
    return Done(row.stage, row.output, row.result or {})
