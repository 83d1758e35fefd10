"""What every REST document of ours says alike: refusals as RFC 9457 problems, and the token that opens each route."""

from typing import Annotated, Any

from fastapi import FastAPI, Header
from pydantic import BaseModel

from shipway.runtime.access import scope_of


class FieldProblem(BaseModel):
    """A wrong field."""

    field: str
    problem: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem details; ``error`` on the paths of the inference protocol, whose clients look for it."""

    type: str
    title: str
    status: int
    detail: str
    code: str | None = None
    errors: list[FieldProblem] = []
    error: str | None = None


RequestTimeout = Annotated[
    int | None,
    Header(
        alias="X-Request-Timeout-Ms", ge=1, le=999_999_999, description="whole milliseconds that the answer may take"
    ),
]
"""Documents the header on routes that are answered ahead of FastAPI."""

_WHY = {
    400: "the body is not JSON",
    401: "no token, or none that is known here",
    403: "the token lacks the scope",
    404: "not known here",
    410: "gone",
    413: "too large",
    415: "the content type is not application/json",
    422: "wrong fields, each named",
    429: "too many requests with this token; see Retry-After",
    500: "the rows could not be scored",
    502: "a predictor's answer was none",
    503: "nobody can answer now; see Retry-After",
    504: "out of time",
}
_GUARDS = (401, 403, 429)
_METHODS = ("get", "put", "post", "delete", "patch")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses``: these refusals, and those of the guard in front of every route."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {s: {"description": _WHY[s], "content": content} for s in sorted({*statuses, *_GUARDS})}


def document(app: FastAPI, *, guarded: bool = True) -> None:
    """Completes an app's document once its routes are there: the problem's schema, and the scope of each route.

    An app without a guard has no scopes, and none of a guard's refusals.
    """
    plain = app.openapi
    app.openapi_schema = None  # who asked while the service started has had it made, without these routes

    def complete() -> dict[str, Any]:
        known = app.openapi_schema is not None
        found = plain()
        if not known:
            components = found.setdefault("components", {})
            shape = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            components.setdefault("schemas", {}).update({**shape.pop("$defs"), "ProblemDocument": shape})
            operations = [(path, m, item[m]) for path, item in found["paths"].items() for m in _METHODS if m in item]
            if guarded:
                _tell_scopes(components, operations)
            else:
                for _, _, operation in operations:
                    for status in _GUARDS:
                        operation["responses"].pop(str(status), None)
        return found

    app.openapi = complete  # type: ignore[method-assign]


def _tell_scopes(components: dict[str, Any], operations: list[tuple[str, str, dict[str, Any]]]) -> None:
    bearer = {"type": "http", "scheme": "bearer", "description": "an API token (shipway token create)"}
    components["securitySchemes"] = {"token": bearer}
    for path, method, operation in operations:
        scope = scope_of(method.upper(), path)
        operation["security"] = [{"token": [scope]}] if scope else []
