"""How FastAPI's routes refuse: everything that is not an answer becomes an RFC 9457 problem."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from shipway.contract.errors import Transient
from shipway.runtime.http import Problem

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
        response = problem_response(Problem(err.status_code, str(err.detail)), request.url.path)
        response.headers.update(err.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, err: RequestValidationError) -> JSONResponse:
        if isinstance(err.body, bytes):  # left unread: it was not said to be JSON
            return problem_response(_no_json(request.headers.get("content-type", "")), request.url.path)
        errors = [(_field(e["loc"]), str(e["msg"])) for e in err.errors()][:100]
        problem = Problem(422, "; ".join(f"{f}: {m}" for f, m in errors)[:500], errors=errors)
        return problem_response(problem, request.url.path)


def _no_json(said: str) -> Problem:
    """Taken from any type, a page of any site could have a browser send it, without asking whether it may."""
    problem = f"is {said[:100] or 'missing'}; send application/json (curl -H 'content-type: application/json')"
    return Problem(415, f"content-type: {problem}", errors=[("content-type", problem)])


def _field(location: Any) -> str:
    return ".".join(str(part)[:100] for part in location if part != "body") or "body"
