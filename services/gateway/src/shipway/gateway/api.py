"""The rest of the gateway's REST, by FastAPI: what is served, by whom, and feedback; and the documents of all of it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from shipway.contract.errors import Transient
from shipway.contract.events import FeedbackReceived
from shipway.contract.signature import to_builtins
from shipway.gateway.registry import Registry
from shipway.runtime.http import Problem
from shipway.runtime.kafka import Producer


class FieldProblem(BaseModel):
    """A wrong field."""

    field: str
    problem: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str | None = None
    errors: list[FieldProblem] = []


class PredictBody(BaseModel):
    """Rows of named features (or one row)."""

    model_config = ConfigDict(extra="forbid")

    rows: list[dict[str, Any]] | None = None
    row: dict[str, Any] | None = None
    client_ids: list[str] | None = None


class PredictionAnswer(BaseModel):
    """One row's answer: label and probability (binary), label and probabilities (multiclass), or value."""

    id: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None


class PredictAnswer(BaseModel):
    """The answers in the order of the rows."""

    model: str
    version: int
    predictions: list[PredictionAnswer]


class Feedback(BaseModel):
    """The true label of a prediction."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z][a-z0-9-]*$")]
    prediction_id: Annotated[str, Field(min_length=1, max_length=64)]
    label: Annotated[str, Field(max_length=1000)] | float | bool
    observed_at: datetime | None = None


class FeedbackAnswer(BaseModel):
    """The feedback is on Kafka."""

    status: Literal["accepted"] = "accepted"


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDocument, "content": {"application/problem+json": {}}, "description": text}
    for status, text in {
        400: "the body is not JSON",
        404: "no such model",
        413: "too large",
        422: "wrong fields, each named",
        502: "a predictor's answer was none",
        503: "nobody can answer now; see Retry-After",
        504: "out of time",
    }.items()
}


def problem_response(problem: Problem) -> JSONResponse:
    """A problem as FastAPI's answer."""
    headers = {"retry-after": str(problem.retry_after_s)} if problem.retry_after_s is not None else None
    return JSONResponse(problem.document(), problem.status, headers, media_type="application/problem+json")


def add_routes(app: FastAPI, registry: Registry, producer: Producer, source: str) -> None:
    """Adds the gateway's routes."""

    @app.exception_handler(Problem)
    async def refused(_request: Request, problem: Problem) -> JSONResponse:
        return problem_response(problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, err: RequestValidationError) -> JSONResponse:
        errors = [(".".join(str(p) for p in e["loc"] if p != "body") or "body", e["msg"]) for e in err.errors()]
        return problem_response(Problem(422, "; ".join(f"{f}: {m}" for f, m in errors)[:500], errors=errors))

    @app.post("/predict/{model}", tags=["predictions"], summary="Predict", responses=PROBLEMS)
    async def predict(model: str, body: PredictBody) -> PredictAnswer:
        """Answered ahead of FastAPI (see gateway/predict.py); this is its documentation."""
        raise Problem(404, f"model {model[:100]!r} is not served here")

    @app.get("/models", tags=["registry"], summary="What is served")
    async def models() -> dict[str, Any]:
        return {"models": [_model(registry, name) for name in sorted(registry.routes)]}

    @app.get("/models/{model}", tags=["registry"], summary="One model", responses={404: PROBLEMS[404]})
    async def model(model: str) -> dict[str, Any]:
        if model not in registry.routes:
            raise Problem(404, f"model {model[:100]!r} is not served here")
        return _model(registry, model)

    @app.get("/instances", tags=["registry"], summary="The predictor instances")
    async def instances() -> dict[str, Any]:
        return {"instances": [_instance(registry, name) for name in sorted(registry.presences())]}

    @app.post(
        "/feedback",
        tags=["predictions"],
        status_code=202,
        summary="Tell a prediction's true label",
        responses={422: PROBLEMS[422], 503: PROBLEMS[503]},
    )
    async def feedback(body: Feedback) -> FeedbackAnswer:
        event = FeedbackReceived(
            model=body.model,
            prediction_id=body.prediction_id,
            label=body.label,
            observed_at=body.observed_at or datetime.now(UTC),
        )
        try:
            await producer.publish(source, event)
        except Transient as err:
            raise Problem(503, f"feedback can't be taken now: {err}", retry_after_s=2) from err
        return FeedbackAnswer()


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
        "versions": [
            {"model": v.model, "version": v.version, "state": v.state, "reason": v.reason} for v in presence.versions
        ],
    }
