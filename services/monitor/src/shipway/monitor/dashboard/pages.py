"""The pages that show models: the overview, a model, a version with its report."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import Response

from shipway.contract.errors import Permanent
from shipway.monitor import reading
from shipway.monitor.dashboard import loading, looking, reports, sides
from shipway.monitor.dashboard.parts import Parts
from shipway.monitor.reports import REPORT_HEADERS, read_report

Name = Annotated[str, Path(max_length=256, pattern=r"^[^\x00]*$")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
Before = Annotated[int | None, Query(ge=1, le=2**62)]


def add_model_pages(app: FastAPI, parts: Parts) -> None:
    """Adds the pages."""

    async def report_of(row: Mapping[str, Any]) -> Any:
        """The report on a version as it was written; None where there is none."""
        try:
            return msgspec.json.decode(await read_report(parts.objects, row["digest"], "json"))
        except (Permanent, msgspec.DecodeError):
            return None

    @app.get("/dashboard", include_in_schema=False)
    async def start(request: Request) -> Response:
        async with parts.database.begin() as tx:
            values = await loading.of_overview(tx, parts)
        return parts.pages.page(request, "overview.html", values)

    @app.get("/dashboard/models/{model}", include_in_schema=False)
    async def model_page(
        request: Request, model: Name, span: Annotated[str | None, Query(max_length=10)] = None, before: Before = None
    ) -> Response:
        async with parts.database.begin() as tx:
            values = await loading.of_model(tx, parts, model, span, before)
        if values is None:
            return parts.pages.page(request, "missing.html", {"what": f"model {model}"}, 404)
        return parts.pages.page(request, "model.html", values)

    @app.get("/dashboard/models/{model}/versions/{version}", include_in_schema=False)
    async def version_page(request: Request, model: Name, version: Number) -> Response:
        async with parts.database.begin() as tx:
            values = await loading.of_version(tx, parts, model, version)
        if values is None:
            return parts.pages.page(request, "missing.html", {"what": f"version {version} of {model}"}, 404)
        found = await report_of(values["row"])
        return parts.pages.page(request, "version.html", values | {"report": reports.report(found)})

    @app.get("/dashboard/models/{model}/compare", include_in_schema=False)
    async def compare_page(request: Request, model: Name, a: Version = None, b: Version = None) -> Response:
        async with parts.database.begin() as tx:
            values = await loading.of_comparison(tx, model, a, b)
        if values is None:
            return parts.pages.page(request, "missing.html", {"what": f"such pair of versions of {model}"}, 404)
        documents = [await report_of(row) for row in values["rows"]]
        shown = sides.sides(values["rows"], documents) if values["rows"] else None
        return parts.pages.page(request, "compare.html", values | {"sides": shown})

    @app.get("/dashboard/models/{model}/declared", include_in_schema=False)
    async def declared_page(request: Request, model: Name) -> Response:
        async with parts.database.begin() as tx:
            known = await reading.model(tx, model)
        if known is None:
            return parts.pages.page(request, "missing.html", {"what": f"model {model}"}, 404)
        return parts.pages.page(request, "declared.html", {"model": model, "spec": known["spec"]})

    @app.get("/dashboard/models/{model}/versions/{version}/report", include_in_schema=False)
    async def report_page(request: Request, model: Name, version: Number) -> Response:
        async with parts.database.begin() as tx:
            row = (await looking.these_versions(tx, model, [version])).get(version)
        try:
            page = await read_report(parts.objects, row["digest"] if row is not None else None, "html")
        except Permanent:
            what = f"report on version {version} of {model}"
            return parts.pages.page(request, "missing.html", {"what": what}, 404)
        return Response(page, media_type="text/html", headers=REPORT_HEADERS)
