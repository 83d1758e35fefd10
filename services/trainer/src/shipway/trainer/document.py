"""The trainer's OpenAPI document, from the routes alone: nothing runs, and no part is real."""

from typing import Any

from fastapi import FastAPI

from shipway.runtime.database import Database
from shipway.runtime.ops import Readiness, add_ops_routes
from shipway.runtime.settings import DatabaseSettings
from shipway.trainer.api import add_routes


def trainer_document() -> dict[str, Any]:
    """What a running trainer shows at /openapi.json, where it shows jobs."""
    app = FastAPI(title="Shipway trainer", docs_url="/docs", redoc_url=None)
    add_ops_routes(app, Readiness())
    add_routes(app, Database(DatabaseSettings(), "trainer"))
    return app.openapi()
