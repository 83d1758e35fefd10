"""Beginning jobs and taking stages, within a transaction.

A stage is held by a lease and a fencing token that grows with every take; see stagestore for what its holder writes.
"""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.spec import ModelSpec, recorded_spec, to_builtins
from shipway.runtime.database import Transaction
from shipway.trainer.jobrows import TakenStage, done_of, job_of, stage_of, stages_of
from shipway.trainer.kinds import STAGES_OF, StageName, laid_over, policy_of
from shipway.trainer.stages import still_good
from shipway.trainer.tables import declarations, job_stages, jobs
from shipway.trainer.training import Job


async def begin(tx: Transaction, job: Job) -> Job:
    """Starts a queued job under the newest declaration of its model. To be called after open_jobs.

    Stages that an earlier run got done stay done as long as what they depend on is the same.

    Raises:
        Permanent: the declaration is not valid any more.
    """
    declared = (await tx.execute(sa.select(declarations.c.spec).where(declarations.c.model == job.model))).scalar_one()
    this = jobs.c.request_id == job.request_id
    asked = (await tx.execute(sa.select(jobs.c.asked).where(this))).scalar_one() or {}
    written = laid_over(declared, asked.get("spec", {}))
    spec = recorded_spec(written)
    started = {"started_at": sa.func.coalesce(jobs.c.started_at, sa.func.clock_timestamp())}
    values = {"state": "running", "attempts": jobs.c.attempts + 1, "spec": written, "lease_until": None, "owner": None}
    await tx.execute(sa.update(jobs).where(this).values(**values, **started))
    mine = job_stages.c.request_id == job.request_id
    rows = (await tx.execute(sa.select(job_stages).where(mine).order_by(job_stages.c.place))).all()
    done = [row for row in rows if row.state == "done"]
    good = still_good([(done_of(row), row.key, row.told or {}) for row in done], to_builtins(spec))
    keep = {row.stage for row in done[:good]}
    for place, name in enumerate(STAGES_OF[job.kind]):
        await _renew_row(tx, job.request_id, place, name, spec, keep=name in keep)
    stages = await stages_of(tx, [job.request_id])
    return Job(
        request_id=job.request_id,
        model=job.model,
        state="running",
        created_at=job.created_at,
        not_before=job.not_before,
        stages=stages[job.request_id],
        kind=job.kind,
    )


async def _renew_row(
    tx: Transaction, request_id: str, place: int, stage: StageName, spec: ModelSpec, *, keep: bool
) -> None:
    policy = policy_of(spec, stage)
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
    mine = next(r for r in rows if r.stage == stage)
    return TakenStage(
        job=job_of(row, {job.request_id: tuple(map(stage_of, rows))}, cancelled_by=job.cancelled_by),
        stage=stage,
        owner=owner,
        fence=mine.fence,
        until=row.until,
        spec=row.spec,
        before=tuple(done_of(r) for r in rows if r.place < mine.place),
        spent_s=sum(r.seconds or 0.0 for r in rows if r.state == "done"),
        traceparent=row.traceparent,
        known_key=mine.key,
        known=mine.result,
        requested_by=row.requested_by,
        asked=row.asked or {},
    )
