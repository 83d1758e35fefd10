"""The monitor's read API: models, versions, requests, usage, history, instances."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from shipway.contract.errors import Transient
from shipway.contract.events import Presence
from shipway.monitor import reading
from shipway.runtime.database import Database
from shipway.runtime.http import Problem
from shipway.runtime.tableview import TableView

_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "not known"}}


def add_routes(app: FastAPI, database: Database, presence: TableView[Presence], silent_after_s: float) -> None:
    """Adds the API's routes."""

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

    @app.get("/api/models", tags=["models"], summary="Every model")
    async def models() -> dict[str, Any]:
        async with database.begin() as tx:
            return {"models": await reading.overview(tx)}

    @app.get("/api/models/{model}", tags=["models"], summary="A model and its versions", responses=_MISSING)
    async def model(model: str) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.model(tx, model), f"model {model[:100]!r}")

    @app.get(
        "/api/models/{model}/versions/{version}",
        tags=["models"],
        summary="A version with its gates",
        responses=_MISSING,
    )
    async def version(model: str, version: int) -> dict[str, Any]:
        async with database.begin() as tx:
            found = _known(await reading.model(tx, model), f"model {model[:100]!r}")
        one = next((v for v in found["versions"] if v["version"] == version), None)
        return _known(one, f"version {version} of {model}")

    @app.get("/api/models/{model}/usage", tags=["models"], summary="Predictions by version", responses=_MISSING)
    async def usage(model: str) -> dict[str, Any]:
        async with database.begin() as tx:
            _known(await reading.model(tx, model), f"model {model[:100]!r}")
            return await reading.model_usage(tx, model)

    @app.get("/api/requests/{request_id}", tags=["requests"], summary="A training request", responses=_MISSING)
    async def request(request_id: str) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.request(tx, request_id), f"request {request_id[:100]!r}")

    @app.get("/api/events", tags=["history"], summary="Events: the newest, or those after a cursor")
    async def events(
        model: str | None = None,
        type: str | None = None,  # noqa: A002  the query's name
        trace: str | None = None,
        after: Annotated[int, Query(ge=0, le=2**62)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        async with database.begin() as tx:
            found = await reading.history(tx, model=model, kind=type, trace_id=trace, after=after, limit=limit)
        return {"events": found, "cursor": found[-1]["id"] if found else after}

    @app.get("/api/instances", tags=["instances"], summary="What instances say of themselves")
    async def instances() -> dict[str, Any]:
        return {"instances": _instances(presence, silent_after_s)}

    @app.get("/api/status", tags=["models"], summary="Everything at a glance")
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
