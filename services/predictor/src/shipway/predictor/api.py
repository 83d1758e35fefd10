"""The predictor's REST beside inference itself: what it holds, by the routes of the inference protocol."""

from fastapi import FastAPI

from shipway.contract.signature import Signature
from shipway.predictor.held import Versions
from shipway.runtime.inferenceroutes import add_protocol_routes
from shipway.runtime.openapi import document
from shipway.runtime.refusals import add_refusals


def add_routes(app: FastAPI, versions: Versions) -> None:
    """Adds the protocol's routes, and completes the app's document."""
    add_refusals(app)
    add_protocol_routes(app, "shipway-predictor", _Held(versions), infer_refusals=(404, 413, 422, 500, 504))
    document(app, guarded=False)


class _Held:
    """What this instance holds, as the inference protocol's routes ask for it."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def unready(self) -> str | None:
        return "; ".join(self._versions.problems()) or None

    def served(self, model: str) -> dict[int, Signature] | None:
        return {s.version.version: s.loaded.signature for s in self._versions.of_model(model)} or None
