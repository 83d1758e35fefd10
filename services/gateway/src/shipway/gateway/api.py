"""The rest of the gateway's REST, by FastAPI: what is served and by whom; and the documents of all of it."""

from datetime import datetime
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from shipway.contract.signature import to_builtins
from shipway.gateway.features import add_features
from shipway.gateway.feedback import add_feedback
from shipway.gateway.infer import Served
from shipway.gateway.registry import Registry
from shipway.gateway.results import Results
from shipway.runtime.http import Problem
from shipway.runtime.inferenceroutes import add_protocol_routes
from shipway.runtime.kafka import Producer
from shipway.runtime.openapi import ProblemDocument, RequestTimeout, document, problems
from shipway.runtime.refusals import add_refusals


class PredictBody(BaseModel):
    """Rows of named features (or one row)."""

    model_config = ConfigDict(extra="forbid")

    rows: list[dict[str, Any]] | None = None
    row: dict[str, Any] | None = None
    client_ids: list[str] | None = None
    explain: bool = False


class PredictionAnswer(BaseModel):
    """One row's answer: label and probability (binary), label and probabilities (multiclass), value (regression), or
    score and rank, 1 the best of the request's rows (ranking).

    With ``explain`` what each feature contributed to the raw score (for classes the log-odds), of several classes by
    class; together with ``base`` they add up to it.
    """

    id: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    score: float | None = None
    rank: int | None = None
    base: float | dict[str, float] | None = None
    contributions: dict[str, float] | dict[str, dict[str, float]] | None = None


class PredictAnswer(BaseModel):
    """The answers in the order of the rows. ``looked_up``: of how many rows each look-up table knew the entity."""

    model: str
    version: int
    predictions: list[PredictionAnswer]
    looked_up: dict[str, int] | None = None


class SeveralBody(PredictBody):
    """Rows for several models: ``models``, or a ``group`` that they declare. ``timeout_ms`` is each model's time."""

    models: list[str] | None = None
    group: str | None = None
    aggregate: Literal["all", "first", "mean", "vote"] = "all"
    require: Literal["all", "any"] | int = "all"
    timeout_ms: int | dict[str, int] | None = None
    later: bool = False


class OneOfSeveral(BaseModel):
    """One model's answer; of each row it takes the features that it knows."""

    model: str
    version: int
    predictions: list[PredictionAnswer]


class FailedModel(BaseModel):
    """Why a model did not answer, by the status it alone would have been refused with."""

    model: str
    status: int
    detail: str


class CombinedPrediction(BaseModel):
    """A row's answer of all models together."""

    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    votes: dict[str, int] | None = None


class SeveralAnswer(BaseModel):
    """What several models say; ``predictions`` with mean and vote."""

    aggregate: str
    partial: bool
    answers: list[OneOfSeveral]
    failed: list[FailedModel]
    predictions: list[CombinedPrediction] | None = None


class Accepted(BaseModel):
    """A request that is answered later."""

    id: str
    status: Literal["pending"]
    result: str
    due_at: datetime


class Result(BaseModel):
    """The end of a request that was to be answered later."""

    id: str
    status: Literal["answered", "failed"]
    models: list[str]
    answer: SeveralAnswer | None = None
    problem: ProblemDocument | None = None


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
            raise Problem(404, f"model {model[:100]!r} is not served here")
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
