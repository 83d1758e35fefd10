"""Signing in and out: an API token is shown once, and a session takes its place; and the files of pages."""

from typing import Annotated

from fastapi import FastAPI, Path, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from shipway.monitor.dashboard import sessions
from shipway.monitor.dashboard.admission import PREFIX, SIGN_IN, safe_next
from shipway.monitor.dashboard.forms import form_of
from shipway.monitor.dashboard.parts import Parts
from shipway.runtime.http import Problem
from shipway.runtime.tokens import digest_of

UNKNOWN = "This token is not known here, was revoked, or has expired."


def add_signin_routes(app: FastAPI, parts: Parts) -> None:
    """Adds the routes."""

    def page(request: Request, problem: str, leads_to: str, status: int = 200) -> Response:
        values = {"problem": problem, "next": safe_next(leads_to)}
        return parts.pages.page(request, "sign-in.html", values, status)

    @app.get(SIGN_IN, include_in_schema=False)
    async def ask(request: Request) -> Response:
        if not parts.guard.asks:
            return RedirectResponse(PREFIX, 303)
        return page(request, "", request.query_params.get("next", PREFIX))

    @app.post(SIGN_IN, include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        form = await form_of(request)
        leads_to = safe_next(form.get("next", PREFIX))
        digest = digest_of(form.get("token", "").strip().encode())
        token = parts.guard.in_force(digest)
        if token is None:
            return page(request, UNKNOWN, leads_to, 401)
        if "read" not in token.scopes:
            return page(request, f"The token {token.name!r} lacks the scope 'read'.", leads_to, 403)
        async with parts.database.begin() as tx:
            session = await sessions.begin(tx, digest, parts.session)
        cookie = parts.door.cookie(session, lasts_s=int(parts.session.total_seconds()))
        return RedirectResponse(leads_to, 303, headers={"set-cookie": cookie})

    @app.post(f"{PREFIX}/sign-out", include_in_schema=False)
    async def sign_out(request: Request) -> Response:
        if (session := request.scope["shipway.cookie"]) is not None:
            async with parts.database.begin() as tx:
                await sessions.end(tx, session)
        gone = parts.door.cookie("", lasts_s=0)
        return Response(status_code=204, headers={"set-cookie": gone, "hx-redirect": SIGN_IN})

    @app.get(f"{PREFIX}/static/{{name:path}}", include_in_schema=False)
    async def static(name: Annotated[str, Path(max_length=100)]) -> Response:
        found = parts.pages.assets.get(name)
        if found is None:
            raise Problem(404, "there is no such file")
        # Its address has a mark of its content.
        return Response(found[0], media_type=found[1], headers={"cache-control": "public, max-age=31536000, immutable"})

    @app.get(f"{PREFIX}/stream", include_in_schema=False)
    async def stream() -> Response:
        if parts.stream.full:
            raise Problem(503, "too many pages are open", retry_after_s=30)
        return StreamingResponse(parts.stream.listen(), media_type="text/event-stream")
