"""What buttons over trainings do: ask for one, for a search or for an import; end a job, or run it again."""

import uuid

from fastapi import FastAPI, Request
from fastapi.responses import Response

from shipway.monitor import reading
from shipway.monitor.dashboard import wanted
from shipway.monitor.dashboard.desk import Desk, checked
from shipway.monitor.dashboard.pages import Name
from shipway.monitor.dashboard.parts import Parts
from shipway.runtime.http import Problem


def add_job_routes(app: FastAPI, parts: Parts) -> None:
    """Adds the routes."""
    desk = Desk(parts)

    @app.post("/dashboard/models/{model}/train", include_in_schema=False)
    async def train(request: Request, model: Name) -> Response:
        (by, form), request_id = await desk.asked(request), uuid.uuid4().hex
        payload = checked(lambda: wanted.training(model, form, request_id=request_id, by=by))
        return await desk.send(request, model, payload, request_id, "request", "the training")

    @app.post("/dashboard/models/{model}/search", include_in_schema=False)
    async def search(request: Request, model: Name) -> Response:
        (by, form), request_id = await desk.asked(request), uuid.uuid4().hex
        payload = checked(lambda: wanted.search(model, form, request_id=request_id, by=by))
        return await desk.send(request, model, payload, request_id, "request", "the search")

    @app.post("/dashboard/models/{model}/jobs/{request_id}/{what}", include_in_schema=False)
    async def job(request: Request, model: Name, request_id: Name, what: str) -> Response:
        (by, form), event_id = await desk.asked(request), uuid.uuid4().hex
        payload = checked(lambda: wanted.job(model, request_id, what, form, by=by))
        async with parts.database.begin() as tx:
            known = await reading.request(tx, request_id)
            if known is None or known["model"] != model:
                raise Problem(404, f"there is no training {request_id[:100]!r} of this model")
            await desk.say(tx, payload, event_id)
        parts.wake()
        before = known["changed_at"].isoformat()
        return desk.waits(request, model, what, event_id, f"{what} of {request_id[:8]}", of=request_id, before=before)
