"""What is done to the trainer's tables, within a transaction.

A job is held by a lease and a fencing token that grows with every take: whoever writes to a running job names
the token, and one that lost its lease writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.envelope import Envelope, encode
from shipway.contract.events import ModelDeclared, TrainingCancelRequested, TrainingRequested
from shipway.contract.topics import topic_of
from shipway.runtime import delivery, trace
from shipway.runtime.database import Transaction
from shipway.trainer.tables import cancellations, declarations, jobs, versions
from shipway.trainer.training import Job, Step

_TAKING = 0x5441_4B45  # "TAKE": one trainer a schema looks for work at a time
_NUMBERING = 0x4E55_4D42  # "NUMB", with the model: version numbers without gaps or doubles


@dataclass(frozen=True)
class OpenJob:
    """A job that is not over: what decisions need, and what telling of them needs."""

    job: Job
    stage: str
    traceparent: str | None


@dataclass(frozen=True)
class TakenJob:
    """A job in hand; ``fence`` proves it."""

    request_id: str
    model: str
    until: datetime | None
    spec: dict[str, Any]
    attempts: int
    max_attempts: int
    fence: int
    traceparent: str | None


@dataclass(frozen=True)
class Hold:
    """Whether a job is still in hand, and who wants it cancelled."""

    held: bool
    cancelled_by: str | None


async def declare(tx: Transaction, declared: ModelDeclared, envelope: Envelope, digest: str) -> bool:
    """Keeps a declaration, unless a newer one is kept already; gives whether it does."""
    values = {
        "model": declared.model,
        "spec": declared.spec,
        "digest": digest,
        "declared_by": _storable(declared.declared_by)[:200],
        "declared_at": envelope.time,
        "source": envelope.source,
        "event_id": envelope.id,
        "traceparent": envelope.traceparent if trace.trace_id(envelope.traceparent) else None,
    }
    statement = insert(declarations).values(values)
    newer = statement.on_conflict_do_update(
        index_elements=["model"],
        set_={name: statement.excluded[name] for name in values},
        where=declarations.c.declared_at <= statement.excluded.declared_at,
    )
    return (await tx.execute(newer)).rowcount == 1


async def tell_declarations_again(tx: Transaction) -> int:
    """Puts every declaration into the outbox, as the very event that it came in; gives their number."""
    rows = (await tx.execute(sa.select(declarations))).all()
    for row in rows:
        payload = ModelDeclared(model=row.model, spec=row.spec, declared_by=row.declared_by)
        event = Envelope(row.event_id, row.source, row.declared_at, payload, row.traceparent)
        await delivery.emit_message(tx, topic_of(payload).name, event.id, encode(event))
    return len(rows)


async def accept(tx: Transaction, request: TrainingRequested, traceparent: str | None) -> bool:
    """Writes the request's job; False where there is one already."""
    statement = insert(jobs).values(
        request_id=request.request_id,
        model=request.model,
        until=request.until,
        reason=_storable(request.reason)[:2000],
        requested_by=_storable(request.requested_by)[:200],
        traceparent=traceparent,
    )
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def wish_cancelled(tx: Transaction, command: TrainingCancelRequested) -> None:
    """Keeps the wish, also where the request itself is still on its way."""
    values = {"request_id": command.request_id, "requested_by": _storable(command.requested_by)[:200]}
    await tx.execute(insert(cancellations).values(values).on_conflict_do_nothing())


async def open_jobs(tx: Transaction) -> tuple[list[OpenJob], datetime]:
    """The jobs that are not over, and the database's time; no other trainer changes them until the transaction ends."""
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_TAKING, _schema())))
    statement = (
        sa.select(jobs, declarations.c.model.is_not(None).label("declared"), cancellations.c.requested_by.label("by"))
        .outerjoin(declarations, declarations.c.model == jobs.c.model)
        .outerjoin(cancellations, cancellations.c.request_id == jobs.c.request_id)
        .where(jobs.c.state.in_(("queued", "running")))
        .order_by(jobs.c.created_at, jobs.c.request_id)
    )
    rows = (await tx.execute(statement)).all()
    now: datetime = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return [OpenJob(_job(row), row.stage, row.traceparent) for row in rows], now


async def take(tx: Transaction, job: Job, owner: str, lease: timedelta) -> TakenJob:
    """Takes a queued job, with the newest declaration of its model. To be called after open_jobs."""
    declared = (await tx.execute(sa.select(declarations.c.spec).where(declarations.c.model == job.model))).scalar_one()
    max_attempts = int(declared.get("training", {}).get("max_attempts", job.max_attempts))
    statement = (
        sa.update(jobs)
        .where(jobs.c.request_id == job.request_id, jobs.c.state == "queued")
        .values(
            state="running",
            attempts=jobs.c.attempts + 1,
            max_attempts=max_attempts,
            owner=owner,
            lease_until=sa.func.clock_timestamp() + lease,
            fence=jobs.c.fence + 1,
            spec=declared,
            started_at=sa.func.clock_timestamp(),
        )
        .returning(jobs)
    )
    row = (await tx.execute(statement)).one()
    return TakenJob(
        row.request_id, row.model, row.until, row.spec, row.attempts, max_attempts, row.fence, row.traceparent
    )


async def renew(tx: Transaction, taken: TakenJob, lease: timedelta) -> Hold:
    """Lengthens the lease of a job in hand, even one that ran out, as long as nobody acted on that."""
    held = await _change(tx, taken, lease_until=sa.func.clock_timestamp() + lease)
    statement = sa.select(cancellations.c.requested_by).where(cancellations.c.request_id == taken.request_id)
    return Hold(held, (await tx.execute(statement)).scalar_one_or_none())


async def note_progress(tx: Transaction, taken: TakenJob, stage: str, fraction: float, message: str) -> bool:
    """Writes how far a job in hand is; False where it is not in hand any more."""
    return await _change(tx, taken, stage=stage, fraction=fraction, message=message[:1000])


async def give_up(tx: Transaction, taken: TakenJob, step: Step, log_tail: str) -> bool:
    """Takes a job in hand to its next state; False where it is not in hand any more."""
    return await _change(tx, taken, **_values(step), log_tail=_storable(log_tail))


async def settle_unattended(tx: Transaction, job: Job, step: Step) -> None:
    """Takes a job that nobody works on to its next state. To be called after open_jobs."""
    await tx.execute(sa.update(jobs).where(jobs.c.request_id == job.request_id).values(**_values(step)))


async def complete(tx: Transaction, taken: TakenJob, digest: str, log_tail: str) -> int | None:
    """Ends a job in hand with a version; gives its number, or None where the job is not in hand any more."""
    over = {"state": "completed", "owner": None, "lease_until": None, "ended_at": sa.func.clock_timestamp()}
    if not await _change(tx, taken, **over, stage="done", fraction=1.0, log_tail=_storable(log_tail)):
        return None
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_NUMBERING, sa.func.hashtext(taken.model))))
    highest = sa.select(sa.func.coalesce(sa.func.max(versions.c.version), 0)).where(versions.c.model == taken.model)
    version = int((await tx.execute(highest)).scalar_one()) + 1
    values = {"model": taken.model, "version": version, "request_id": taken.request_id, "digest": digest}
    await tx.execute(sa.insert(versions).values(values))
    return version


async def _change(tx: Transaction, taken: TakenJob, **values: Any) -> bool:
    in_hand = sa.and_(jobs.c.request_id == taken.request_id, jobs.c.fence == taken.fence, jobs.c.state == "running")
    return (await tx.execute(sa.update(jobs).where(in_hand).values(**values))).rowcount == 1


def _values(step: Step) -> dict[str, Any]:
    over = step.state != "queued"
    return {
        "state": step.state,
        "attempts": step.attempts,
        "owner": None,
        "lease_until": None,
        "not_before": sa.func.clock_timestamp() + step.rest,
        "message": step.reason[:4000],
        "ended_at": sa.func.clock_timestamp() if over else None,
    }


def _job(row: Any) -> Job:
    return Job(
        request_id=row.request_id,
        model=row.model,
        state=row.state,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        created_at=row.created_at,
        not_before=row.not_before,
        lease_until=row.lease_until,
        declared=row.declared,
        cancelled_by=row.by,
    )


def _schema() -> Any:
    return sa.func.hashtext(sa.func.current_schema())


def _storable(text: str) -> str:
    """PostgreSQL's text holds everything but NUL."""
    return text.replace("\x00", "")
