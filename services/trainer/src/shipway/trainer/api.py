"""The trainer's read API: jobs, their stages and their logs, as types, so that its OpenAPI document is true."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel

from shipway.runtime.database import Database
from shipway.runtime.http import Problem
from shipway.runtime.openapi import document, problems
from shipway.runtime.refusals import add_refusals
from shipway.trainer import reading
from shipway.trainer.kinds import StageName

# No id has a NUL, and PostgreSQL could not look for one.
_TEXT = r"^[^\x00]*$"
Id = Annotated[str, Path(max_length=256, pattern=_TEXT)]
Filter = Annotated[str | None, Query(max_length=256, pattern=_TEXT)]
JobState = Literal["queued", "running", "completed", "failed", "cancelled"]


class StageShown(BaseModel):
    """A stage of a job. ``output`` is its SHA-256; ``reused``: an earlier run's was taken; ``late``: over its level."""

    stage: str
    state: str
    attempts: int
    max_attempts: int
    reused: bool
    late: bool
    seconds: float | None
    message: str
    owner: str | None
    output: str
    result: dict[str, Any] | None
    not_before: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class JobShown(BaseModel):
    """A job: what was asked, how far it is, what came of it."""

    request_id: str
    model: str
    origin: str
    state: JobState
    stage: str
    fraction: float
    message: str
    reason: str
    requested_by: str
    until: datetime | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    version: int | None
    digest: str | None


class JobWithStages(JobShown):
    """A job with its stages; none before its first run."""

    stages: list[StageShown]


class Jobs(BaseModel):
    """The newest jobs."""

    jobs: list[JobShown]


class JobLog(BaseModel):
    """The end of what a stage wrote, tracebacks included."""

    request_id: str
    stage: str
    log: str


def add_routes(app: FastAPI, database: Database) -> None:
    """Adds the API's routes; also to an app that was asked for its health already."""
    add_refusals(app)

    @app.get("/api/jobs", tags=["jobs"], summary="The newest jobs", responses=problems(422, 503), response_model=Jobs)
    async def jobs(
        model: Filter = None, state: JobState | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> dict[str, Any]:
        async with database.begin() as tx:
            return {"jobs": await reading.jobs_found(tx, model=model, state=state, limit=limit)}

    @app.get(
        "/api/jobs/{request_id}",
        tags=["jobs"],
        summary="A job and its stages",
        responses=problems(404, 422, 503),
        response_model=JobWithStages,
    )
    async def job(request_id: Id) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.job(tx, request_id), request_id)

    @app.get(
        "/api/jobs/{request_id}/log",
        tags=["jobs"],
        summary="The end of a stage's log; by default of the stage that the job came to",
        responses=problems(404, 422, 503),
        response_model=JobLog,
    )
    async def log(request_id: Id, stage: StageName | None = None) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.log_of(tx, request_id, stage), request_id)

    document(app)


def _known(found: dict[str, Any] | None, request_id: str) -> dict[str, Any]:
    if found is None:
        raise Problem(404, f"job {request_id[:100]!r} is not known here, or has no such stage")
    return found
