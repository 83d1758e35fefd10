"""The page of a model's predictions, and what is done there: tell a label, forget a subject."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from shipway.contract.errors import Permanent, Transient
from shipway.monitor import labels, metrics, reading, store
from shipway.monitor.dashboard import logged, wanted
from shipway.monitor.dashboard.desk import Desk, checked, known_model
from shipway.monitor.dashboard.door import Visitor
from shipway.monitor.dashboard.pages import Name
from shipway.monitor.dashboard.parts import Parts
from shipway.monitor.labelling import Label

FILES = 14


def add_record_pages(app: FastAPI, parts: Parts) -> None:
    """Adds the page and its commands."""
    desk = Desk(parts)

    @app.get("/dashboard/models/{model}/predictions", include_in_schema=False)
    async def predictions_page(
        request: Request, model: Name, last: Annotated[int, Query(ge=1, le=logged.MOST)] = 50
    ) -> Response:
        async with parts.database.begin() as tx:
            history = await reading.prediction_history(tx, model, None)
        if history is None:
            return parts.pages.page(request, "missing.html", {"what": f"model {model}"}, 404)
        visitor: Visitor = request.scope["shipway.visitor"]
        found, problem = [], ""
        # They hold what clients sent: more than who only looks is shown elsewhere.
        if visitor.operates:
            try:
                found = await logged.newest(parts.database, parts.objects, model, last)
            except (Permanent, Transient) as err:
                problem = str(err)
        files = history["files"][::-1]
        values = {
            "model": model,
            "records": found,
            "shown": visitor.operates,
            "problem": problem,
            "last": last,
            "files": files[:FILES],
            "more": max(0, len(files) - FILES),
            "rows": sum(file["rows"] or 0 for file in files),
            "waiting": history["waiting_rows"],
        }
        return parts.pages.page(request, "predictions.html", values)

    @app.post("/dashboard/models/{model}/predictions/{prediction_id}/label", include_in_schema=False)
    async def label(request: Request, model: Name, prediction_id: Name) -> Response:
        _, form = await desk.asked(request)
        async with parts.database.begin() as tx:
            await known_model(tx, model)
            spec = await store.spec_of(tx, model)
            value = checked(lambda: wanted.label_of(form, spec.target.kind if spec is not None else "binary"))
            await labels.take(tx, model, [Label(model, prediction_id, value, datetime.now(UTC))])
        metrics.LABELS.labels("received").inc()
        return desk.told(request, f"label taken: {value}; it counts once its prediction is found in the history")

    @app.post("/dashboard/models/{model}/forget", include_in_schema=False)
    async def forget(request: Request, model: Name) -> Response:
        (by, form), command_id = await desk.asked(request), uuid.uuid4().hex
        payload = checked(lambda: wanted.forgetting(model, form, command_id=command_id, by=by))
        return await desk.send(request, model, payload, command_id, "forgetting", "the forgetting")
