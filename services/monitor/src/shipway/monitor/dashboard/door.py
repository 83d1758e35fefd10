"""The dashboard's door, in front of the service's guard: who is signed in, what admission says, and the cookie."""

from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from shipway.contract.errors import Permanent, Transient
from shipway.monitor.dashboard import sessions
from shipway.monitor.dashboard.admission import (
    COOKIE,
    CSRF_HEADER,
    PREFIX,
    Admitted,
    Asked,
    ToSignIn,
    Turned,
    admit,
    csrf_of,
    is_open,
)
from shipway.runtime.access import Token
from shipway.runtime.database import Database
from shipway.runtime.guard import Guard, hardened
from shipway.runtime.http import Asgi, Headers, Problem
from shipway.runtime.refusals import problem_response


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page. ``name``: the token's, or None where the service asks for none."""

    name: str | None
    operates: bool
    csrf: str


class Door:
    """Stands in front of the guarded app. ``https``: the cookie goes over nothing else."""

    def __init__(self, guard: Guard, database: Database, *, hosts: Collection[str] = (), https: bool = False) -> None:
        self._guard = guard
        self._database = database
        self._hosts = frozenset(hosts)
        self.https = https

    def around(self, app: Asgi) -> Asgi:
        """The app, its pages behind the door; all else as it was."""

        async def through(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if scope["type"] == "http" and path in ("", "/"):
                return await RedirectResponse(PREFIX, 303)(scope, receive, hardened(send))
            if scope["type"] != "http" or not (path == PREFIX or path.startswith(f"{PREFIX}/")):
                return await app(scope, receive, send)
            try:
                response, send = await self._admitted(scope, send)
            except (Transient, Permanent) as err:
                response = problem_response(Problem(503, str(err), retry_after_s=2))
            if response is not None:
                return await response(scope, receive, hardened(send))
            return await app(scope, receive, send)

        return through

    async def _admitted(self, scope: Scope, send: Send) -> tuple[Response | None, Send]:
        """Looks the session up and leaves what it found in the scope; gives an answer where it goes no further."""
        headers = dict(scope["headers"])
        session = _cookie(headers.get(b"cookie", b"").decode("latin-1"))
        token = await self._token(session)
        asked = _asked(scope, headers, session, known=token is not None)
        found = admit(asked, tokens=self._guard.asks, hosts=self._hosts)
        match found:
            case ToSignIn():
                return _to_sign_in(found, by_htmx=asked.by_htmx), send
            case Turned():
                return problem_response(Problem(found.status, found.detail)), send
            case Admitted():
                pass
        if session is None and not (self._guard.asks or is_open(asked.path)):
            session = sessions.new_id()
            send = _with_cookie(send, self.cookie(session))
        if token is not None:
            scope["shipway.session"] = token.sha256
        operates = not self._guard.asks or (token is not None and "operate" in token.scopes)
        csrf = csrf_of(session) if session is not None else ""
        scope["shipway.visitor"] = Visitor(token.name if token is not None else None, operates, csrf)
        scope["shipway.cookie"] = session
        return None, send

    async def _token(self, session: str | None) -> Token | None:
        if session is None or not self._guard.asks:
            return None
        async with self._database.begin() as tx:
            digest = await sessions.token_of(tx, session)
        return self._guard.in_force(digest) if digest is not None else None

    def cookie(self, session: str, *, lasts_s: int | None = None) -> str:
        """The Set-Cookie of a session. Lax: a link from elsewhere opens a page, and no more."""
        made: SimpleCookie = SimpleCookie()
        made[COOKIE] = session
        made[COOKIE]["path"], made[COOKIE]["samesite"] = PREFIX, "Lax"
        made[COOKIE]["httponly"], made[COOKIE]["secure"] = True, self.https
        if lasts_s is not None:
            made[COOKIE]["max-age"] = lasts_s
        return made[COOKIE].OutputString()


def _asked(scope: Scope, headers: dict[bytes, bytes], session: str | None, *, known: bool) -> Asked:
    def text(name: bytes) -> str | None:
        value = headers.get(name)
        return value.decode("latin-1") if value is not None else None

    return Asked(
        method=scope["method"],
        path=scope["path"],
        host=text(b"host") or "",
        origin=text(b"origin"),
        fetch_site=text(b"sec-fetch-site"),
        session=session,
        known=known,
        csrf=text(CSRF_HEADER),
        bearer=b"authorization" in headers,
        by_htmx=b"hx-request" in headers,
    )


def _to_sign_in(found: ToSignIn, *, by_htmx: bool) -> Response:
    # htmx would put the sign-in page into a corner of this one.
    return (
        Response(status_code=401, headers={"hx-redirect": found.location})
        if by_htmx
        else RedirectResponse(found.location, 303)
    )


def _cookie(header: str) -> str | None:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and 20 <= len(found.value) <= 100 else None


def _with_cookie(send: Send, cookie: str) -> Send:
    async def with_cookie(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers: Headers = list(message.get("headers", ()))
            message["headers"] = [*headers, (b"set-cookie", cookie.encode())]
        await send(message)

    return with_cookie
