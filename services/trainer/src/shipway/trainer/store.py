"""What events do to the trainer's tables, within a transaction: declarations, requests, wishes of operators."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.envelope import Envelope, encode
from shipway.contract.errors import InvalidField
from shipway.contract.events import (
    ModelDeclared,
    ModelImportRequested,
    SearchRequested,
    TrainingCancelRequested,
    TrainingRequested,
    TrainingRetryRequested,
)
from shipway.contract.spec import Schedule
from shipway.contract.topics import topic_of
from shipway.runtime import delivery, log, trace
from shipway.runtime.database import Transaction
from shipway.trainer.kinds import STAGES_OF, Kind
from shipway.trainer.schedule import Planned
from shipway.trainer.tables import cancellations, declarations, job_stages, jobs, stage_outputs

# What ids of requests by schedule begin with.
SCHEDULED = "schedule:"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_log = log.get(__name__)


async def declare(tx: Transaction, declared: ModelDeclared, envelope: Envelope, digest: str) -> bool:
    """Keeps a declaration, unless a newer one is kept already; gives whether it does."""
    values = {
        "model": declared.model,
        "spec": declared.spec,
        "digest": digest,
        "declared_by": storable(declared.declared_by)[:200],
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
    again = []
    for row in rows:
        payload = ModelDeclared(model=row.model, spec=row.spec, declared_by=row.declared_by)
        event = Envelope(row.event_id, row.source, row.declared_at, payload, row.traceparent)
        again.append(delivery.Outgoing(topic_of(payload).name, event.id, encode(event)))
    await delivery.put(tx, again)
    return len(rows)


async def accept(
    tx: Transaction,
    request: TrainingRequested | SearchRequested | ModelImportRequested,
    traceparent: str | None,
    kind: Kind = "training",
    asked: Mapping[str, Any] | None = None,
) -> bool:
    """Writes the request's job; False where there is one already. ``asked``: see TakenStage."""
    statement = insert(jobs).values(
        request_id=request.request_id,
        model=request.model,
        until=request.until,
        reason=storable(request.reason)[:2000],
        requested_by=storable(request.requested_by)[:200],
        traceparent=traceparent,
        origin=kind,
        asked=asked,
    )
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def wish_cancelled(tx: Transaction, command: TrainingCancelRequested) -> None:
    """Keeps the wish, also where the request itself is still on its way."""
    values = {"request_id": command.request_id, "requested_by": storable(command.requested_by)[:200]}
    await tx.execute(insert(cancellations).values(values).on_conflict_do_nothing())


async def planned(tx: Transaction) -> tuple[list[Planned], datetime]:
    """The models that have a schedule, and the database's time. Searches and imports are no trainings."""
    trainings = jobs.c.origin == "training"
    under_way = (jobs.c.origin != "search") & jobs.c.state.in_(("queued", "running"))
    scheduled = jobs.c.request_id.startswith(SCHEDULED, autoescape=True)
    statement = (
        sa.select(
            declarations.c.model,
            declarations.c.spec["schedule"].label("schedule"),
            declarations.c.declared_at,
            sa.func.max(jobs.c.created_at).filter(scheduled).label("asked_at"),
            sa.func.max(sa.func.greatest(jobs.c.created_at, jobs.c.ended_at)).filter(trainings).label("worked_at"),
            sa.func.coalesce(sa.func.bool_or(under_way), sa.false()).label("busy"),
        )
        .outerjoin(jobs, jobs.c.model == declarations.c.model)
        .where(declarations.c.spec.has_key("schedule"))
        .group_by(declarations.c.model)
    )
    rows = (await tx.execute(statement)).all()
    now: datetime = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    found = []
    for row in rows:
        try:
            schedule = Schedule.model_validate(row.schedule, extra="ignore")
        except ValidationError as err:  # of a newer release, which was taken back
            _log.warning("schedule is not known here; passed over", model=row.model, reason=str(err))
            continue
        found.append(Planned(row.model, schedule, row.declared_at, row.asked_at, row.worked_at, row.busy))
    return found, now


async def retry(tx: Transaction, command: TrainingRetryRequested) -> str | None:
    """Puts a job that failed or was cancelled back into the queue; gives its state before, None: there is no such job.

    From ``command.stage`` on, stages are run again though they were done.

    Raises:
        InvalidField: jobs of its kind have no such stage.
    """
    this = (jobs.c.request_id == command.request_id) & (jobs.c.model == command.model)
    row = (await tx.execute(sa.select(jobs.c.state, jobs.c.origin).where(this).with_for_update())).one_or_none()
    if row is None or row.state not in ("failed", "cancelled"):
        return None if row is None else row.state
    stages = STAGES_OF[row.origin]
    if command.stage and command.stage not in stages:
        raise InvalidField("stage", f"a {row.origin} has no stage {command.stage!r}; it has {', '.join(stages)}")
    again = {"state": "queued", "not_before": sa.func.now(), "ended_at": None, "message": "", "log_tail": ""}
    await tx.execute(sa.update(jobs).where(this).values(**again))
    await tx.execute(sa.delete(cancellations).where(cancellations.c.request_id == command.request_id))
    mine = job_stages.c.request_id == command.request_id
    if command.stage:
        from_there = mine & (job_stages.c.place >= [*stages].index(command.stage))
        keys = sa.select(job_stages.c.key).where(from_there)
        await tx.execute(sa.delete(stage_outputs).where(stage_outputs.c.key.in_(keys)))
        await tx.execute(sa.update(job_stages).where(from_there).values(state="waiting", result=None))
    fresh = {"attempts": 0, "not_before": None}
    await tx.execute(sa.update(job_stages).where(mine, job_stages.c.state != "done").values(**fresh))
    return str(row.state)


async def drop_outputs(tx: Transaction, model: str, why: str) -> int:
    """Lets go what stages kept of a model: no run finds it, and the sweep removes it, once no job that is not over
    reads it. Gives how many outputs there were.
    """
    these = stage_outputs.c.model == model
    values = {"key": stage_outputs.c.key + sa.literal(f":{why}"), "used_at": _LONG_AGO}
    return (await tx.execute(sa.update(stage_outputs).where(these).values(**values))).rowcount


def storable(text: str) -> str:
    """PostgreSQL's text holds everything but NUL."""
    return text.replace("\x00", "")
