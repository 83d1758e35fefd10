"""The gateway's OpenAPI document, from the routes alone: nothing runs, and no part is real."""

from typing import Any

from fastapi import FastAPI

from shipway.gateway.api import add_routes
from shipway.gateway.featuretable import FeatureTable
from shipway.gateway.registry import Registry
from shipway.gateway.results import Results
from shipway.gateway.settings import FeatureSettings, LaterSettings, ProbeSettings
from shipway.runtime.kafka import Producer
from shipway.runtime.ops import Readiness, add_ops_routes
from shipway.runtime.settings import KafkaSettings


def gateway_document() -> dict[str, Any]:
    """What a running gateway shows at /openapi.json."""
    app = FastAPI(title="Shipway gateway", docs_url="/docs", redoc_url=None)
    kafka = KafkaSettings()
    add_ops_routes(app, Readiness())
    registry = Registry(kafka, ProbeSettings(), FeatureTable(kafka, FeatureSettings()))
    add_routes(app, registry, Results(kafka, LaterSettings()), Producer(kafka, "document"), "document")
    return app.openapi()
