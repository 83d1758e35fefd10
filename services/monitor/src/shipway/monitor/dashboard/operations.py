"""The pages of operations: alerts, events, instances, dead letters."""

from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import Response

from shipway.contract.envelope import text_headers
from shipway.contract.events import EVENT_TYPES
from shipway.contract.topics import DEAD_LETTERS, consumed_by
from shipway.monitor import alerts, letters
from shipway.monitor.dashboard import happened, looking
from shipway.monitor.dashboard.pages import Before
from shipway.monitor.dashboard.parts import Parts
from shipway.monitor.instances import gateways_now, instances_now

Filter = Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")]
MAX_SHOWN_BYTES = 20_000


def add_operations_pages(app: FastAPI, parts: Parts) -> None:
    """Adds the pages."""

    @app.get("/dashboard/alerts", include_in_schema=False)
    async def alerts_page(request: Request, model: Filter = None, ended: bool = False) -> Response:
        async with parts.database.begin() as tx:
            values = {
                "alerts": (await alerts.listed(tx, model or None, ended=ended))[:200],
                "silences": await alerts.silences_now(tx),
                "models": await looking.model_names(tx),
                "model": model or "",
                "ended": ended,
            }
        return parts.pages.page(request, "alerts.html", values)

    @app.get("/dashboard/events", include_in_schema=False)
    async def events_page(
        request: Request,
        model: Filter = None,
        type: Filter = None,  # noqa: A002  the query's name
        trace: Filter = None,
        before: Before = None,
    ) -> Response:
        async with parts.database.begin() as tx:
            found = await happened.recent(
                tx, model=model or None, kind=type or None, trace=trace or None, before=before
            )
            models = await looking.model_names(tx)
        asked = {"model": model or "", "type": type or "", "trace": trace or ""}
        values = {
            "events": found,
            "models": models,
            "types": sorted(t.type for topic in consumed_by("monitor") for t in topic.types if t.type in EVENT_TYPES),
            "asked": asked,
            "before": before,
            "older": found[-1]["id"] if len(found) == happened.EVENTS else None,
        }
        return parts.pages.page(request, "events.html", values)

    @app.get("/dashboard/instances", include_in_schema=False)
    async def instances_page(request: Request) -> Response:
        values = {
            "instances": instances_now(parts.presence, parts.silent_after_s),
            "gateways": gateways_now(parts.gateways, parts.silent_after_s),
            "problem": parts.presence.problem or parts.gateways.problem,
        }
        return parts.pages.page(request, "instances.html", values)

    @app.get("/dashboard/dead-letters", include_in_schema=False)
    async def letters_page(request: Request, service: Filter = None, before: Before = None) -> Response:
        async with parts.database.begin() as tx:
            found = await letters.listed(tx, service or None, before)
        values = {
            "letters": found,
            "services": list(DEAD_LETTERS),
            "service": service or "",
            "before": before,
            "older": found[-1]["id"] if len(found) == letters.SHOWN else None,
        }
        return parts.pages.page(request, "letters.html", values)

    @app.get("/dashboard/dead-letters/{letter_id}", include_in_schema=False)
    async def letter_page(request: Request, letter_id: Annotated[int, Path(ge=1, le=2**62)]) -> Response:
        async with parts.database.begin() as tx:
            letter = await letters.one(tx, letter_id)
        if letter is None:
            return parts.pages.page(request, "missing.html", {"what": f"dead letter {letter_id}"}, 404)
        value = letter["value"] or b""
        values = {
            "letter": letter,
            "headers": text_headers(letter["headers"]),
            "text": value[:MAX_SHOWN_BYTES].decode("utf-8", "backslashreplace").replace("\x00", "\\0"),
            "cut": len(value) > MAX_SHOWN_BYTES,
            "bytes": len(value),
        }
        return parts.pages.page(request, "letter.html", values)
