"""The pages of jobs: trainings, searches and imports on record; one of them, stage by stage, with its log."""

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from shipway.monitor import reading
from shipway.monitor.dashboard import happened, looking, outcomes
from shipway.monitor.dashboard.operations import Filter
from shipway.monitor.dashboard.pages import Name
from shipway.monitor.dashboard.parts import Parts
from shipway.monitor.views import REQUEST_RANK


def add_job_pages(app: FastAPI, parts: Parts) -> None:
    """Adds the pages."""

    @app.get("/dashboard/jobs", include_in_schema=False)
    async def jobs_page(
        request: Request, model: Filter = None, state: Filter = None, skip: Annotated[int, Query(ge=0, le=10**9)] = 0
    ) -> Response:
        async with parts.database.begin() as tx:
            found = await looking.jobs(tx, model or None, state or None, skip)
            models = await looking.model_names(tx)
        values = {
            "jobs": found,
            "models": models,
            "states": list(REQUEST_RANK),
            "asked": {"model": model or "", "state": state or ""},
            "running": outcomes.RUNNING,
            "skip": skip,
            "older": skip + looking.JOBS if len(found) == looking.JOBS else None,
        }
        return parts.pages.page(request, "jobs.html", values)

    @app.get("/dashboard/jobs/{request_id}", include_in_schema=False)
    async def job_page(request: Request, request_id: Name, stage: Filter = None) -> Response:
        async with parts.database.begin() as tx:
            row = await reading.request(tx, request_id)
            said = await happened.progress_of_job(tx, request_id) if row is not None else []
        if row is None:
            return parts.pages.page(request, "missing.html", {"what": f"job {request_id}"}, 404)
        told = await parts.trainer.told(request_id, stage or None)
        values = {"row": row, "said": said, "told": told, "running": outcomes.RUNNING}
        return parts.pages.page(request, "job.html", values)
