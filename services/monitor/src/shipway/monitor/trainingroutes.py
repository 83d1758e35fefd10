"""Asking for a training over HTTP, for what has no way to Kafka: it goes out as a TrainingRequested like any other."""

import uuid
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shipway.contract.events import TrainingRequested
from shipway.monitor import reading
from shipway.monitor.alertroutes import ModelName, Who, Words
from shipway.runtime import trace
from shipway.runtime.database import Database
from shipway.runtime.delivery import emit
from shipway.runtime.http import Problem
from shipway.runtime.openapi import problems

SOURCE = "shipway/monitor"


class NewTraining(BaseModel):
    """A training on the data before ``until`` (null: all). The same ``request_id`` again is the same training."""

    model_config = ConfigDict(extra="forbid")

    by: Who
    until: AwareDatetime | None = None
    reason: Words = "asked for over HTTP"
    request_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.:+-]{1,200}$")] = None


class AskedTraining(BaseModel):
    """What was asked for; its job is at the trainer once that has accepted it."""

    model: str
    request_id: str


def add_training_routes(app: FastAPI, database: Database, wake: Callable[[], None]) -> None:
    """Adds the route, which needs the scope ``operate``. ``wake`` is called when there is something to publish."""

    @app.post(
        "/api/models/{model}/trainings",
        tags=["trainings"],
        summary="Ask for a training",
        status_code=202,
        responses=problems(400, 404, 422, 503),
        response_model=AskedTraining,
    )
    async def ask(model: Annotated[ModelName, Path()], body: NewTraining) -> dict[str, Any]:
        request_id = body.request_id or uuid.uuid4().hex
        asked = TrainingRequested(
            model=model, request_id=request_id, until=body.until, reason=body.reason, requested_by=body.by
        )
        async with database.begin() as tx:
            if not await reading.overview(tx, model):
                raise Problem(404, f"model {model!r} is not known here; declare it: shipway model declare")
            with trace.within(None, "request of a training", model=model):
                await emit(tx, SOURCE, asked, event_id=request_id)
        wake()
        return {"model": model, "request_id": request_id}
