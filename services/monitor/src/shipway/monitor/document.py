"""The monitor's OpenAPI document, from the routes alone: nothing runs, and no part is real."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI

from shipway.contract.events import Presence
from shipway.contract.topics import PRESENCE
from shipway.monitor.api import add_routes
from shipway.monitor.letterroutes import add_letter_routes
from shipway.monitor.reports import add_report_routes
from shipway.monitor.trainingroutes import add_training_routes
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore
from shipway.runtime.ops import Readiness, add_ops_routes
from shipway.runtime.settings import DatabaseSettings, KafkaSettings
from shipway.runtime.tableview import TableView


def monitor_document() -> dict[str, Any]:
    """What a running monitor shows at /openapi.json."""
    app = FastAPI(title="Shipway monitor", docs_url="/docs", redoc_url=None)
    database = Database(DatabaseSettings(), "monitor")
    add_ops_routes(app, Readiness())
    add_routes(app, database, TableView(KafkaSettings(), PRESENCE, Presence), 0)
    add_report_routes(app, database, FolderStore(Path()))
    add_training_routes(app, database, lambda: None)
    add_letter_routes(app, database, lambda: None)
    return app.openapi()
