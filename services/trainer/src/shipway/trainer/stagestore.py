"""What the holder of a stage writes to the trainer's tables, and how jobs come to their next state, in a transaction.

Whoever writes to a running stage names its fencing token, and one that lost its lease writes nothing. Every change
locks the job's row first, then the stage's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from shipway.runtime.database import Transaction
from shipway.trainer.jobrows import TakenStage
from shipway.trainer.stages import Done
from shipway.trainer.store import storable
from shipway.trainer.tables import cancellations, job_stages, jobs, stage_outputs
from shipway.trainer.training import OVER, Job, Step


@dataclass(frozen=True)
class Hold:
    """Whether a stage is still in hand, and who wants its job cancelled."""

    held: bool
    cancelled_by: str | None


@dataclass(frozen=True)
class News:
    """How far a stage in hand is; ``known``: what another run of it would go on from, under the stage's ``key``."""

    fraction: float
    message: str
    outcome: str = ""
    key: str = ""
    known: Mapping[str, Any] | None = None


async def renew(tx: Transaction, taken: TakenStage, lease: timedelta) -> Hold:
    """Lengthens the lease of a stage in hand, even one that ran out, as long as nobody acted on that."""
    until = sa.func.clock_timestamp() + lease
    held = await _change(tx, taken, {"lease_until": until}, lease_until=until)
    statement = sa.select(cancellations.c.requested_by).where(cancellations.c.request_id == taken.job.request_id)
    return Hold(held, (await tx.execute(statement)).scalar_one_or_none())


async def note_progress(tx: Transaction, taken: TakenStage, news: News) -> bool:
    """Writes how far a stage in hand is; False where it is not in hand any more."""
    message = storable(news.message)[:1000]
    of_job = {"stage": taken.stage, "fraction": news.fraction, "message": message}
    of_stage: dict[str, Any] = {"late": True} if news.outcome == "late" else {"message": message}
    if news.known is not None:
        of_stage |= {"key": news.key, "result": dict(news.known)}
    return await _change(tx, taken, of_job, **of_stage)


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
        place = [stage.name for stage in job.stages].index(step.back_to)
        again = mine & (job_stages.c.place >= place) & (job_stages.c.state == "done")
        await tx.execute(sa.update(job_stages).where(again).values(state="waiting", attempts=0, not_before=None))
        gone = sa.select(job_stages.c.key).where(mine, job_stages.c.stage == step.back_to)
        await tx.execute(sa.delete(stage_outputs).where(stage_outputs.c.key.in_(gone)))


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
