"""Reading jobs and their stages, for the trainer's API."""

from typing import Any

import sqlalchemy as sa

from shipway.runtime.database import Transaction
from shipway.trainer.tables import job_stages, jobs, versions

_SHOWN = (
    *("request_id", "model", "origin", "state", "stage", "fraction", "message", "reason", "requested_by"),
    *("until", "attempts", "created_at", "started_at", "ended_at"),
)
_OF_STAGE = (
    *("stage", "state", "attempts", "max_attempts", "reused", "late", "seconds", "message", "owner", "output"),
    *("result", "not_before", "started_at", "ended_at"),
)


async def jobs_found(tx: Transaction, *, model: str | None, state: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest jobs, the newest first."""
    statement = _with_version().order_by(jobs.c.created_at.desc(), jobs.c.request_id).limit(limit)
    for column, value in ((jobs.c.model, model), (jobs.c.state, state)):
        if value is not None:
            statement = statement.where(column == value)
    return [_job(row) for row in (await tx.execute(statement)).all()]


async def job(tx: Transaction, request_id: str) -> dict[str, Any] | None:
    """One job with its stages; None where it is not known."""
    row = (await tx.execute(_with_version().where(jobs.c.request_id == request_id))).one_or_none()
    if row is None:
        return None
    mine = sa.select(job_stages).where(job_stages.c.request_id == request_id).order_by(job_stages.c.place)
    stages = [{name: getattr(one, name) for name in _OF_STAGE} for one in (await tx.execute(mine)).all()]
    return _job(row) | {"stages": stages}


async def log_of(tx: Transaction, request_id: str, stage: str | None) -> dict[str, Any] | None:
    """The log's end of a stage, or of the one that the job came to; None where job or stage is not known."""
    row = (await tx.execute(sa.select(jobs).where(jobs.c.request_id == request_id))).one_or_none()
    if row is None:
        return None
    wanted = stage or row.stage
    this = (job_stages.c.request_id == request_id) & (job_stages.c.stage == wanted)
    found = (await tx.execute(sa.select(job_stages.c.log_tail).where(this))).scalar_one_or_none()
    if found is None and stage is not None:
        return None
    return {"request_id": request_id, "stage": wanted, "log": found or row.log_tail}


def _with_version() -> sa.Select[Any]:
    joined = jobs.outerjoin(versions, versions.c.request_id == jobs.c.request_id)
    return sa.select(jobs, versions.c.version, versions.c.digest).select_from(joined)


def _job(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*_SHOWN, "version", "digest")}
