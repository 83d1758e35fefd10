"""The evaluation reports over HTTP, as the evaluator left them in the object store: for programs, and for people."""

import asyncio
from typing import Any, Literal

import msgspec
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from shipway.bundle.evaluations import MAX_REPORT_BYTES, report_key
from shipway.contract.errors import Permanent
from shipway.monitor import reading
from shipway.monitor.api import Name, Number
from shipway.runtime.database import Database
from shipway.runtime.http import Problem
from shipway.runtime.objects import ObjectStore
from shipway.runtime.openapi import problems

# The page holds its own style and asks for nothing; whatever a name in it may be, no script runs.
REPORT_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
_MISSING = problems(404, 422, 503)


async def read_report(store: ObjectStore, digest: str | None, kind: Literal["json", "html"]) -> bytes:
    """The report on the version of this digest.

    Raises:
        Permanent: there is none. Transient: the object store is away.
    """
    return await asyncio.to_thread(store.get, report_key(digest or "", kind), MAX_REPORT_BYTES)


def add_report_routes(app: FastAPI, database: Database, store: ObjectStore) -> None:
    """Adds the reports' routes."""

    async def read(model: str, version: int, kind: Literal["json", "html"]) -> bytes:
        async with database.begin() as tx:
            found = await reading.version(tx, model, version)
        what = f"version {version} of model {model[:100]!r}"
        if found is None:
            raise Problem(404, f"{what} is not known here")
        try:
            return await read_report(store, found["digest"], kind)
        except Permanent as err:
            raise Problem(404, f"there is no report on {what}: was it judged?") from err

    @app.get(
        "/api/models/{model}/versions/{version}/report",
        tags=["models"],
        summary="The evaluation report on a version",
        responses=_MISSING,
        response_model=dict[str, Any],
    )
    async def report(model: Name, version: Number) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(await read(model, version, "json"), type=dict[str, Any])
        return found

    @app.get(
        "/api/models/{model}/versions/{version}/report.html",
        tags=["models"],
        summary="The same as a page",
        responses=_MISSING,
        response_class=HTMLResponse,
    )
    async def report_page(model: Name, version: Number) -> HTMLResponse:
        return HTMLResponse(await read(model, version, "html"), headers=REPORT_HEADERS)
