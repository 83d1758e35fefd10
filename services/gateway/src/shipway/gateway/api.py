"""The rest of the gateway's REST, by FastAPI: what is served and by whom; and the documents of all of it."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from shipway.contract.signature import to_builtins
from shipway.gateway.asking import unknown
from shipway.gateway.features import add_features
from shipway.gateway.feedback import add_feedback
from shipway.gateway.infer import Served
from shipway.gateway.registry import Registry
from shipway.gateway.results import Results
from shipway.gateway.shapes import Accepted, PredictAnswer, PredictBody, Result, SeveralAnswer, SeveralBody
from shipway.runtime.http import Problem
from shipway.runtime.inferenceroutes import add_protocol_routes
from shipway.runtime.kafka import Producer
from shipway.runtime.openapi import RequestTimeout, document, problems
from shipway.runtime.refusals import add_refusals


def add_routes(app: FastAPI, registry: Registry, results: Results, producer: Producer, source: str) -> None:
    """Adds the gateway's routes."""

    add_refusals(app)

    @app.post(
        "/predict/{model}",
        tags=["predictions"],
        summary="Predict",
        responses=problems(400, 404, 413, 422, 502, 503, 504),
    )
    async def predict(model: str, body: PredictBody, timeout_ms: RequestTimeout = None) -> PredictAnswer:
        """Answered ahead of FastAPI (see gateway/predict.py); this is its documentation."""
        raise Problem(404, f"model {model[:100]!r} is not served here")

    _add_several(app, results)

    @app.get("/models", tags=["registry"], summary="What is served", responses=problems())
    async def models() -> dict[str, Any]:
        return {"models": [_model(registry, name) for name in sorted(registry.routes)]}

    @app.get("/models/{model}", tags=["registry"], summary="One model", responses=problems(404, 422))
    async def model(model: str) -> dict[str, Any]:
        if model not in registry.routes:
            raise unknown(model, registry)
        return _model(registry, model)

    @app.get("/instances", tags=["registry"], summary="The predictor instances", responses=problems())
    async def instances() -> dict[str, Any]:
        return {"instances": [_instance(registry, name) for name in sorted(registry.presences())]}

    add_features(app, registry.features)
    add_feedback(app, producer, source)

    refusals = (400, 404, 413, 422, 502, 503, 504)
    add_protocol_routes(app, "shipway-gateway", Served(registry), infer_refusals=refusals)
    document(app)


def _add_several(app: FastAPI, results: Results) -> None:
    @app.post(
        "/predict",
        tags=["predictions"],
        summary="Predict by several models",
        responses={202: {"model": Accepted}, **problems(400, 404, 413, 422, 502, 503, 504)},
    )
    async def predict_by_several(body: SeveralBody, timeout_ms: RequestTimeout = None) -> SeveralAnswer:
        """Answered ahead of FastAPI (see gateway/together.py); this is its documentation."""
        raise Problem(404, "no model is served here")

    @app.get(
        "/results/{result_id}",
        tags=["predictions"],
        summary="The result of a request that is answered later",
        response_model=Result,
        response_model_exclude_none=True,
        responses={202: {"model": Accepted}, **problems(404, 410)},
    )
    async def result(result_id: str) -> Any:
        """Any gateway knows it. 202 while it is under way; 410 where it was lost with the gateway that took it."""
        found = await results.find(result_id)
        if found is None:
            raise Problem(404, f"no result {result_id[:64]!r} is known here; results are kept for a while only")
        if results.is_lost(found):
            raise Problem(410, f"{found.gateway} ended before it had answered; ask again")
        if found.state == "pending":
            told = Accepted(id=result_id, status="pending", result=f"/results/{result_id}", due_at=found.due_at)
            return JSONResponse(told.model_dump(mode="json"), 202, {"retry-after": "1"})
        told_result = {"id": result_id, "status": found.state, "models": found.models}
        return told_result | {k: v for k, v in (("answer", found.answer), ("problem", found.problem)) if v is not None}


def _model(registry: Registry, name: str) -> dict[str, Any]:
    routes = registry.routes[name]
    state = registry.desired.values.get(name)
    routable = {r.version: r for r in routes.routes}
    return {
        "name": name,
        "generation": routes.generation,
        "versions": [
            {
                "version": held.version,
                "role": held.role,
                "digest": held.digest,
                "share": routes.wanted.get(held.version, 0.0),
                "effective_share": routable[held.version].share if held.version in routable else 0.0,
                "instances": [i.name for i in routable[held.version].instances] if held.version in routable else [],
                "signature": to_builtins(routable[held.version].signature)
                if held.version in routable
                else held.signature,
            }
            for held in (state.versions if state else [])
        ],
    }


def _instance(registry: Registry, name: str) -> dict[str, Any]:
    presence, health = registry.presences()[name], registry.health.get(name)
    return {
        "instance": name,
        "url": presence.url,
        "routable": bool(health and health.well),
        "why": health.why if health else "",
        "started_at": presence.started_at,
        "only": presence.only,
        "versions": [
            {"model": v.model, "version": v.version, "state": v.state, "reason": v.reason} for v in presence.versions
        ],
    }
