"""What buttons do: each asks for one thing in the visitor's name, and says what became of it."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from fastapi import FastAPI, Path, Request
from fastapi.responses import Response

from shipway.contract.commandseal import seal
from shipway.contract.envelope import Envelope, encode
from shipway.contract.errors import InvalidField
from shipway.contract.events import OperatorCommand, Payload, TrainingRequested
from shipway.contract.spec import AlertKind, parse_duration
from shipway.contract.topics import topic_of
from shipway.monitor import alerts, letters, reading
from shipway.monitor.dashboard import commands, looking
from shipway.monitor.dashboard.door import Visitor
from shipway.monitor.dashboard.forms import form_of
from shipway.monitor.dashboard.pages import Name
from shipway.monitor.dashboard.parts import Parts
from shipway.runtime import trace
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import emit_message
from shipway.runtime.http import Problem

SOURCE = "shipway/monitor"
Id = Annotated[int, Path(ge=1, le=2**62)]


def add_command_routes(app: FastAPI, parts: Parts) -> None:
    """Adds the routes. The guard has asked for the scope ``operate``, the door for the page's token."""

    async def asked(request: Request) -> tuple[str, dict[str, str]]:
        """Who asks, and the form."""
        if not parts.commands:
            raise Problem(403, "this dashboard only shows (SHIPWAY_MONITOR__DASHBOARD__COMMANDS)")
        visitor: Visitor = request.scope["shipway.visitor"]
        return f"{visitor.name or 'anyone'} (dashboard)", await form_of(request)

    async def say(tx: Transaction, payload: Payload, event_id: str) -> None:
        event = Envelope(event_id, SOURCE, datetime.now(UTC), payload, trace.child(trace.current()))
        message = encode(event)
        if parts.key and not isinstance(payload, TrainingRequested):
            message = seal(message, parts.key)
        await emit_message(tx, topic_of(payload).name, event_id, message)

    def told(request: Request, text: str, *, good: bool = True, leads_to: str = "") -> Response:
        return parts.pages.page(request, "told.html", {"text": text, "good": good, "leads_to": leads_to})

    @app.post("/dashboard/models/{model}/commands/{action}", include_in_schema=False)
    async def command(request: Request, model: Name, action: str) -> Response:
        by, form = await asked(request)
        command_id = uuid.uuid4().hex
        payload: OperatorCommand = _checked(
            lambda: commands.operator_command(model, action, form, command_id=command_id, by=by)
        )
        async with parts.database.begin() as tx:
            await _known_model(tx, model)
            await say(tx, payload, command_id)
        parts.wake()
        values = {"model": model, "command_id": command_id, "action": action.replace("_", " "), "tries": 0}
        return parts.pages.page(request, "waiting.html", values)

    @app.get("/dashboard/models/{model}/commands/{command_id}", include_in_schema=False)
    async def outcome(request: Request, model: Name, command_id: Name, tries: int = 0) -> Response:
        async with parts.database.begin() as tx:
            found = await looking.answer(tx, model, command_id)
        if found is not None:
            return told(request, str(found.get("answer", "")), good=bool(found.get("done")))
        if tries >= 30:
            text = "not answered yet; is a releaser running, and is the operator key the same? See the dead letters."
            return told(request, text, good=False)
        values = {"model": model, "command_id": command_id, "action": "the command", "tries": tries + 1}
        return parts.pages.page(request, "waiting.html", values)

    @app.post("/dashboard/models/{model}/train", include_in_schema=False)
    async def train(request: Request, model: Name) -> Response:
        by, form = await asked(request)
        request_id = uuid.uuid4().hex
        payload = _checked(lambda: commands.training(model, form, request_id=request_id, by=by))
        async with parts.database.begin() as tx:
            await _known_model(tx, model)
            await say(tx, payload, request_id)
        parts.wake()
        return told(request, f"training asked for: {request_id[:8]}")

    @app.post("/dashboard/models/{model}/jobs/{request_id}/{what}", include_in_schema=False)
    async def job(request: Request, model: Name, request_id: Name, what: str) -> Response:
        by, _ = await asked(request)
        payload = _checked(lambda: commands.job(model, request_id, what, by=by))
        async with parts.database.begin() as tx:
            known = await reading.request(tx, request_id)
            if known is None or known["model"] != model:
                raise Problem(404, f"there is no training {request_id[:100]!r} of this model")
            await say(tx, payload, uuid.uuid4().hex)
        parts.wake()
        return told(request, f"{what} asked for: {request_id[:8]}")

    @app.post("/dashboard/alerts/{alert_id}/ack", include_in_schema=False)
    async def acknowledge(request: Request, alert_id: Name) -> Response:
        by, form = await asked(request)
        note = _checked(lambda: commands.reason_of(form))
        async with parts.database.begin() as tx:
            if await alerts.acknowledge(tx, alert_id, by, note) is None:
                raise Problem(404, "there is no such open alert")
        return told(request, "acknowledged: it is not told again until it ends")

    @app.post("/dashboard/silences", include_in_schema=False)
    async def silence(request: Request) -> Response:
        by, form = await asked(request)
        kind = form.get("kind", "").replace(" ", "_")
        if kind and kind not in get_args(AlertKind):
            raise Problem(422, f"kind: {kind[:50]!r} is no kind of alert")
        lasts = _checked(lambda: parse_duration(form.get("lasts", "")))
        if not 0 < lasts.total_seconds() <= 30 * 86400:
            raise Problem(422, "lasts: must be longer than nothing and 30 days at most")
        reason = _checked(lambda: commands.reason_of(form))
        async with parts.database.begin() as tx:
            model = form.get("model") or None
            if model is not None:
                await _known_model(tx, model)
            made = await alerts.silence(tx, model, kind.replace("_", " ") or None, lasts, by, reason)
        return told(request, f"silent until {made['until']:%Y-%m-%d %H:%M} UTC")

    @app.post("/dashboard/silences/{silence_id}/end", include_in_schema=False)
    async def end(request: Request, silence_id: Id) -> Response:
        await asked(request)
        async with parts.database.begin() as tx:
            if not await alerts.end_silence(tx, silence_id):
                raise Problem(404, "there is no such silence that lasts")
        return told(request, "the silence is over: what is open is delivered")

    @app.post("/dashboard/dead-letters/{letter_id}/send-again", include_in_schema=False)
    async def send_again(request: Request, letter_id: Id) -> Response:
        by, _ = await asked(request)
        async with parts.database.begin() as tx:
            letter = await letters.one(tx, letter_id)
            if letter is None:
                raise Problem(404, "there is no such dead letter")
            try:
                await letters.send_again(tx, letter, by)
            except InvalidField as err:
                raise Problem(422, str(err)) from err
        parts.wake()
        return told(request, f"sent again to {letter['topic']}; what is refused again is listed again")


def _checked(make: Any) -> Any:
    """What is made of a form; a wrong field is the visitor's to mend."""
    try:
        return make()
    except (InvalidField, ValueError) as err:
        raise Problem(422, str(err)) from err


async def _known_model(tx: Transaction, model: str) -> None:
    if not await reading.overview(tx, model):
        raise Problem(404, f"model {model[:100]!r} is not known here")
