"""The monitor's read API: models, versions, requests, usage, history, instances."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from shipway.contract.errors import Transient
from shipway.contract.events import Presence
from shipway.monitor import reading, responses
from shipway.runtime.database import Database
from shipway.runtime.http import Problem
from shipway.runtime.tableview import TableView

# No name has a NUL, and PostgreSQL could not look for one.
_TEXT = r"^[^\x00]*$"
Name = Annotated[str, Path(max_length=256, pattern=_TEXT)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Filter = Annotated[str | None, Query(max_length=256, pattern=_TEXT)]
_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "not known"}}


def add_routes(app: FastAPI, database: Database, presence: TableView[Presence], silent_after_s: float) -> None:
    """Adds the API's routes; also to an app that was asked for its health already."""
    app.middleware_stack = None  # made at the first request, with the handlers of that moment: made anew at the next

    @app.exception_handler(Problem)
    async def problem(_request: Request, err: Problem) -> JSONResponse:
        return JSONResponse(err.document(), err.status, media_type="application/problem+json")

    @app.exception_handler(Transient)
    async def away(_request: Request, err: Transient) -> JSONResponse:
        return JSONResponse(Problem(503, str(err)).document(), 503, media_type="application/problem+json")

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, err: RequestValidationError) -> JSONResponse:
        errors = [(".".join(str(p) for p in e["loc"]), e["msg"]) for e in err.errors()]
        document = Problem(422, "; ".join(f"{f}: {m}" for f, m in errors), errors=errors).document()
        return JSONResponse(document, 422, media_type="application/problem+json")

    @app.get("/api/models", tags=["models"], summary="Every model", response_model=responses.Models)
    async def models() -> dict[str, Any]:
        async with database.begin() as tx:
            return {"models": await reading.overview(tx)}

    @app.get(
        "/api/models/{model}",
        tags=["models"],
        summary="A model and its versions",
        responses=_MISSING,
        response_model=responses.Model,
    )
    async def model(model: Name) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.model(tx, model), f"model {model[:100]!r}")

    @app.get(
        "/api/models/{model}/versions/{version}",
        tags=["models"],
        summary="A version with its gates",
        responses=_MISSING,
        response_model=responses.Version,
    )
    async def version(model: Name, version: Number) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.version(tx, model, version), f"version {version} of model {model[:100]!r}")

    @app.get(
        "/api/models/{model}/usage",
        tags=["models"],
        summary="Predictions by version",
        responses=_MISSING,
        response_model=responses.Usage,
    )
    async def usage(model: Name) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.model_usage(tx, model), f"model {model[:100]!r}")

    @app.get(
        "/api/requests/{request_id}",
        tags=["requests"],
        summary="A training request",
        responses=_MISSING,
        response_model=responses.TrainingRequest,
    )
    async def request(request_id: Name) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.request(tx, request_id), f"request {request_id[:100]!r}")

    @app.get(
        "/api/events",
        tags=["history"],
        summary="Events: the newest, or those after a cursor",
        response_model=responses.History,
    )
    async def events(
        model: Filter = None,
        type: Filter = None,  # noqa: A002  the query's name
        trace: Filter = None,
        after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        async with database.begin() as tx:
            found = await reading.history(tx, model=model, kind=type, trace_id=trace, after=after, limit=limit)
        return {"events": found, "cursor": found[-1]["id"] if found else after or 0}

    @app.get(
        "/api/instances",
        tags=["instances"],
        summary="What instances say of themselves",
        response_model=responses.Instances,
    )
    async def instances() -> dict[str, Any]:
        return {"instances": _instances(presence, silent_after_s)}

    @app.get("/api/status", tags=["models"], summary="Everything at a glance", response_model=responses.Status)
    async def status() -> dict[str, Any]:
        async with database.begin() as tx:
            return {"models": await reading.overview(tx), "instances": _instances(presence, silent_after_s)}


def _known(found: dict[str, Any] | None, what: str) -> dict[str, Any]:
    if found is None:
        raise Problem(404, f"{what} is not known here")
    return found


def _instances(presence: TableView[Presence], silent_after_s: float) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    found = []
    for name, said in sorted(presence.values.items()):
        age_s = (now - presence.envelopes[name].time).total_seconds()
        found.append(
            {
                "instance": name,
                "url": said.url,
                "age_s": age_s,
                "present": age_s <= silent_after_s,
                "answered": said.answered,
                "logged": said.logged,
                "dropped": said.dropped,
                "versions": [
                    {
                        "model": v.model,
                        "version": v.version,
                        "state": v.state,
                        "reason": v.reason,
                        "answered": v.answered,
                    }
                    for v in said.versions
                ],
            }
        )
    return found
