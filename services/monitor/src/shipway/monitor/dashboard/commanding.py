"""What buttons over releases and versions do: each asks for one thing in the visitor's name. And what became of it."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from shipway.monitor.dashboard import looking, outcomes, wanted
from shipway.monitor.dashboard.desk import Desk, checked
from shipway.monitor.dashboard.outcomes import Kind
from shipway.monitor.dashboard.pages import Name, Number
from shipway.monitor.dashboard.parts import Parts
from shipway.runtime.http import Problem

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

    @app.post("/dashboard/models/{model}/versions/{version}/replay", include_in_schema=False)
    async def replay(request: Request, model: Name, version: Number) -> Response:
        (by, form), command_id = await desk.asked(request), uuid.uuid4().hex
        payload = checked(
            lambda: wanted.replaying(model, version, form, command_id=command_id, by=by, now=datetime.now(UTC))
        )
        async with parts.database.begin() as tx:
            if not await looking.these_versions(tx, model, [version]):
                raise Problem(404, f"there is no version {version} of this model")
        return await desk.send(request, model, payload, command_id, "replay", f"the replay of version {version}")

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
