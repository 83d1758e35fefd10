"""What buttons over releases do: each asks the releaser for one thing in the visitor's name. And what became of it."""

import uuid
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from shipway.monitor.dashboard import outcomes, wanted
from shipway.monitor.dashboard.desk import Desk, checked
from shipway.monitor.dashboard.outcomes import Kind
from shipway.monitor.dashboard.pages import Name
from shipway.monitor.dashboard.parts import Parts

Text = Annotated[str, Query(max_length=256, pattern=r"^[^\x00]*$")]


def add_command_routes(app: FastAPI, parts: Parts) -> None:
    """Adds the routes."""
    desk = Desk(parts)

    @app.post("/dashboard/models/{model}/commands/{action}", include_in_schema=False)
    async def command(request: Request, model: Name, action: str) -> Response:
        by, form = await desk.asked(request)
        command_id = uuid.uuid4().hex
        payload = checked(lambda: wanted.operator_command(model, action, form, command_id=command_id, by=by))
        return await desk.send(request, model, payload, command_id, "command", action.replace("_", " "))

    @app.get("/dashboard/models/{model}/outcomes/{kind}/{asked_id}", include_in_schema=False)
    async def outcome(
        request: Request,
        model: Name,
        kind: Kind,
        asked_id: Name,
        what: Text = "it",
        of: Text = "",
        before: Text = "",
        tries: Annotated[int, Query(ge=0, le=10_000)] = 0,
    ) -> Response:
        async with parts.database.begin() as tx:
            found = await outcomes.outcome(tx, model, kind, asked_id, of, before)
        if found is not None:
            return desk.told(request, found.text, good=found.good, leads_to=found.leads_to)
        if tries >= outcomes.TRIES[kind]:
            text = f"{what}: not answered yet; does the service run that answers, and is the operator key the same?"
            return desk.told(request, text, good=False, leads_to="/dashboard/dead-letters")
        return desk.waits(request, model, kind, asked_id, what, of=of, before=before, tries=tries + 1)
