"""What buttons over alerts and dead letters do: somebody looks after an alert, silences some, sends letters again."""

from typing import Annotated, get_args

from fastapi import FastAPI, Path, Request
from fastapi.responses import Response

from shipway.contract.errors import InvalidField
from shipway.contract.spec import AlertKind, parse_duration
from shipway.monitor import alerts, letters
from shipway.monitor.dashboard import wanted
from shipway.monitor.dashboard.desk import Desk, checked, known_model
from shipway.monitor.dashboard.pages import Name
from shipway.monitor.dashboard.parts import Parts
from shipway.runtime.http import Problem

Id = Annotated[int, Path(ge=1, le=2**62)]


def add_care_routes(app: FastAPI, parts: Parts) -> None:
    """Adds the routes."""
    desk = Desk(parts)

    @app.post("/dashboard/alerts/{alert_id}/ack", include_in_schema=False)
    async def acknowledge(request: Request, alert_id: Name) -> Response:
        by, form = await desk.asked(request)
        note = checked(lambda: wanted.reason_of(form))
        async with parts.database.begin() as tx:
            if await alerts.acknowledge(tx, alert_id, by, note) is None:
                raise Problem(404, "there is no such open alert")
        return desk.told(request, "acknowledged: it is not told again until it ends")

    @app.post("/dashboard/silences", include_in_schema=False)
    async def silence(request: Request) -> Response:
        by, form = await desk.asked(request)
        kind = form.get("kind", "").replace(" ", "_")
        if kind and kind not in get_args(AlertKind):
            raise Problem(422, f"kind: {kind[:50]!r} is no kind of alert")
        lasts = checked(lambda: parse_duration(form.get("lasts", "")))
        if not 0 < lasts.total_seconds() <= 30 * 86400:
            raise Problem(422, "lasts: must be longer than nothing and 30 days at most")
        reason = checked(lambda: wanted.reason_of(form))
        async with parts.database.begin() as tx:
            model = form.get("model") or None
            if model is not None:
                await known_model(tx, model)
            made = await alerts.silence(tx, model, kind.replace("_", " ") or None, lasts, by, reason)
        of = f"{made['kind'] or 'every kind'} of {made['model'] or 'every model'}"
        return desk.told(request, f"{of}: silent until {made['until']:%Y-%m-%d %H:%M} UTC")

    @app.post("/dashboard/silences/{silence_id}/end", include_in_schema=False)
    async def end(request: Request, silence_id: Id) -> Response:
        desk.visitor(request)
        async with parts.database.begin() as tx:
            if not await alerts.end_silence(tx, silence_id):
                raise Problem(404, "there is no such silence that lasts")
        return desk.told(request, "the silence is over: what is open is delivered")

    @app.post("/dashboard/dead-letters/send-again", include_in_schema=False)
    async def send_all_again(request: Request) -> Response:
        by, form = await desk.asked(request)
        async with parts.database.begin() as tx:
            listed = await letters.listed(tx, form.get("service") or None, None)
            sent, left = await letters.send_all_again(tx, [row["id"] for row in reversed(listed)], by)
        parts.wake()
        why = "".join(f"; not {letter_id}: {problem}" for letter_id, problem in left[:3])
        more = f"; and {len(left) - 3} others" if len(left) > 3 else ""
        return desk.told(request, f"sent again: {sent}{why}{more}", good=not left)

    @app.post("/dashboard/dead-letters/{letter_id}/send-again", include_in_schema=False)
    async def send_again(request: Request, letter_id: Id) -> Response:
        by = desk.visitor(request)
        async with parts.database.begin() as tx:
            letter = await letters.one(tx, letter_id)
            if letter is None:
                raise Problem(404, "there is no such dead letter")
            try:
                await letters.send_again(tx, letter, by)
            except InvalidField as err:
                raise Problem(422, str(err)) from err
        parts.wake()
        return desk.told(request, f"sent again to {letter['topic']}; what is refused again is listed again")
