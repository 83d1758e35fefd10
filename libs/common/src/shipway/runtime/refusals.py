"""How FastAPI's routes refuse: everything that is not an answer becomes an RFC 9457 problem."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from shipway.contract.errors import Transient
from shipway.runtime.http import Problem
from shipway.runtime.wayfinding import nowhere, otherwise

RETRY_AFTER_S = 2


def problem_response(problem: Problem, path: str = "") -> JSONResponse:
    """A problem as FastAPI's answer to a request for ``path``."""
    headers = {"retry-after": str(problem.retry_after_s)} if problem.retry_after_s is not None else None
    return JSONResponse(problem.document(path), problem.status, headers, media_type="application/problem+json")


def add_refusals(app: FastAPI) -> None:
    """Makes problems of an app's refusals; also of an app that was asked for its health already."""
    app.middleware_stack = None  # made at the first request, with the handlers of that moment: made anew at the next

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> JSONResponse:
        return problem_response(problem, request.url.path)

    @app.exception_handler(Transient)
    async def away(request: Request, err: Transient) -> JSONResponse:
        return problem_response(Problem(503, str(err), retry_after_s=RETRY_AFTER_S), request.url.path)

    @app.exception_handler(HTTPException)
    async def other(request: Request, err: HTTPException) -> JSONResponse:
        detail = _lost(app, request, err) if err.detail == HTTPStatus(err.status_code).phrase else str(err.detail)
        response = problem_response(Problem(err.status_code, detail), request.url.path)
        response.headers.update(err.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, err: RequestValidationError) -> JSONResponse:
        if isinstance(err.body, bytes):  # left unread: it was not said to be JSON
            return problem_response(_no_json(request.headers.get("content-type", "")), request.url.path)
        if broken := [e for e in err.errors() if e["type"] == "json_invalid"]:
            why = broken[0].get("ctx", {}).get("error", broken[0]["msg"])
            return problem_response(Problem(400, f"the body is not JSON: {why}"), request.url.path)
        errors = [(_field(e["loc"]), _problem(e)) for e in err.errors()][:100]
        problem = Problem(422, "; ".join(f"{f}: {m}" for f, m in errors)[:500], errors=errors)
        return problem_response(problem, request.url.path)


def _lost(app: FastAPI, request: Request, err: HTTPException) -> str:
    """What a refusal by the router itself says, which knows no more than its status."""
    if err.status_code == 405:
        return otherwise(request.method, request.url.path, (err.headers or {}).get("Allow", "others"))
    if err.status_code != 404:
        return str(err.detail)
    known: dict[str, set[str]] = {}
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            known.setdefault(route.path, set()).update(route.methods or ())
    return nowhere(app.title, request.url.path, known)


def _no_json(said: str) -> Problem:
    """Taken from any type, a page of any site could have a browser send it, without asking whether it may."""
    problem = f"is {said[:100] or 'missing'}; send application/json (curl -H 'content-type: application/json')"
    return Problem(415, f"content-type: {problem}", errors=[("content-type", problem)])


def _problem(error: Any) -> str:
    """What is wrong with a field, in the words of a model file's refusal where pydantic's are about itself."""
    if error["type"] == "extra_forbidden":
        return "is not a known field"
    if error["type"] == "missing":
        return "is required; add it"
    return str(error["msg"]).removeprefix("Value error, ")


def _field(location: Any) -> str:
    return ".".join(str(part)[:100] for part in location if part != "body") or "body"
