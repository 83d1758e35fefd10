"""The monitor's read API: models, versions, requests, usage, history, instances."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query

from shipway.contract.events import Presence
from shipway.monitor import findings, qualities, reading, responses
from shipway.monitor.alertroutes import add_alert_routes
from shipway.monitor.instances import instances_now
from shipway.monitor.levelroutes import add_level_routes
from shipway.runtime.database import Database
from shipway.runtime.http import Problem
from shipway.runtime.openapi import document, problems
from shipway.runtime.refusals import add_refusals
from shipway.runtime.tableview import TableView

# No name has a NUL, and PostgreSQL could not look for one.
_TEXT = r"^[^\x00]*$"
Name = Annotated[str, Path(max_length=256, pattern=_TEXT)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Filter = Annotated[str | None, Query(max_length=256, pattern=_TEXT)]
_AWAY, _MISSING = problems(422, 503), problems(404, 422, 503)


def add_routes(app: FastAPI, database: Database, presence: TableView[Presence], silent_after_s: float) -> None:
    """Adds the API's routes; also to an app that was asked for its health already."""
    add_refusals(app)

    @app.get("/api/models", tags=["models"], summary="Every model", responses=_AWAY, response_model=responses.Models)
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
        "/api/models/{model}/history",
        tags=["models"],
        summary="The Parquet files of a model's predictions",
        responses=_MISSING,
        response_model=responses.PredictionHistory,
    )
    async def prediction_history(model: Name, day: date | None = None) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await reading.prediction_history(tx, model, day), f"model {model[:100]!r}")

    @app.get(
        "/api/models/{model}/quality",
        tags=["models"],
        summary="Quality by the labels that are known: coverage, maturity, loss over time",
        responses=_MISSING,
        response_model=responses.ModelQuality,
    )
    async def quality(model: Name, days: Annotated[int, Query(ge=1, le=400)] = 30) -> dict[str, Any]:
        since = datetime.now(UTC) - timedelta(days=days)
        async with database.begin() as tx:
            return _known(await qualities.of_model(tx, model, since), f"model {model[:100]!r}")

    @app.get(
        "/api/models/{model}/monitoring",
        tags=["models"],
        summary="Whether predictions are as usual: traffic, errors, latency, answers, inputs, drift",
        responses=_MISSING,
        response_model=responses.ModelMonitoring,
    )
    async def monitoring(model: Name) -> dict[str, Any]:
        async with database.begin() as tx:
            return _known(await findings.of_model(tx, model), f"model {model[:100]!r}")

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
        responses=_AWAY,
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
        responses=_AWAY,
        response_model=responses.Instances,
    )
    async def instances() -> dict[str, Any]:
        return {"instances": instances_now(presence, silent_after_s)}

    @app.get(
        "/api/status",
        tags=["models"],
        summary="Everything at a glance",
        responses=_AWAY,
        response_model=responses.Status,
    )
    async def status() -> dict[str, Any]:
        async with database.begin() as tx:
            return {"models": await reading.overview(tx), "instances": instances_now(presence, silent_after_s)}

    add_alert_routes(app, database)
    add_level_routes(app, database)
    document(app)


def _known(found: dict[str, Any] | None, what: str) -> dict[str, Any]:
    if found is None:
        raise Problem(404, f"{what} is not known here")
    return found
