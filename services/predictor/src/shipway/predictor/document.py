"""The predictor's OpenAPI document, from the routes alone: nothing runs, and nothing is held."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI

from shipway.bundle.trial import Trials
from shipway.predictor.api import add_routes
from shipway.predictor.held import Versions
from shipway.predictor.settings import LimitSettings
from shipway.predictor.sources import Sources
from shipway.runtime.objects import FolderStore
from shipway.runtime.ops import Readiness, add_ops_routes


def predictor_document() -> dict[str, Any]:
    """What a running predictor shows at /openapi.json."""
    app = FastAPI(title="Shipway predictor", docs_url="/docs", redoc_url=None)
    limits = LimitSettings()
    trials = Trials(timeout_s=limits.trial_s, memory_mb=limits.trial_mb)
    add_ops_routes(app, Readiness())
    add_routes(app, Versions(Sources(FolderStore(Path())), limits, trials, {}, lambda: None))
    return app.openapi()
