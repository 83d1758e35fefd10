"""The ASGI middleware in front of a service's HTTP: tokens, rates, and the security headers of every answer."""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import Counter

from shipway.contract.errors import Permanent
from shipway.runtime import access, log, tokens
from shipway.runtime.access import Refusal, Scope, Token
from shipway.runtime.authsettings import AccessSettings
from shipway.runtime.direct import Direct, Exchange, header_lines
from shipway.runtime.http import Asgi, ClientGone, Headers, Problem, Receive, Send, read_body, respond_problem
from shipway.runtime.http import Scope as AsgiScope
from shipway.runtime.lifecycle import Life

_log = log.get(__name__)
REFUSED = Counter("shipway_http_refused_total", "Requests refused before the service saw them, by status.", ["status"])
LOOK_EVERY_S = 1.0
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
_HARDENING: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
]
_HARDENING_PRIVATE: Headers = [*_HARDENING, (b"cache-control", b"no-store")]
_HARDENING_LINES = header_lines(_HARDENING_PRIVATE)


class Guard:
    """Stands in front of an ASGI app. ``known`` are the tokens by their SHA-256; None: everyone may."""

    def __init__(
        self,
        settings: AccessSettings,
        known: Mapping[bytes, Token] | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._body_bytes = settings.body_bytes
        self._per_s = settings.requests_per_s
        self._burst = settings.burst
        self._known = known
        self._clock = clock
        self._due: dict[str, float] = {}
        self._allowed: dict[str, int] = {}

    def knows(self, known: Mapping[bytes, Token]) -> None:
        """Takes other tokens from now on."""
        self._known = known
        names = {token.name for token in known.values()}
        self._due = {name: due for name, due in self._due.items() if name in names}

    def around(self, app: Asgi) -> Asgi:
        """The app, guarded."""

        async def guarded(scope: AsgiScope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                if scope["type"] == "websocket":  # no service has any
                    await send({"type": "websocket.close", "code": 1008})
                return None
            method: str = scope["method"]
            wanted = access.scope_of(method, scope["path"])
            send = hardened(send)
            if wanted is not None and self._known is not None:
                name, refusal = self._refusal(scope["headers"], wanted, scope.get("shipway.session"))
                scope["shipway.token"] = name
                if refusal is not None:
                    REFUSED.labels(str(refusal.status)).inc()
                    return await _refuse(send, refusal, scope["path"])
            if wanted == "predict" or method in _BODILESS:
                return await app(scope, receive, send)
            return await self._with_whole_body(app, scope, receive, send)

        return guarded

    def around_direct(self, direct: Direct) -> Direct:
        """The service's door beside ASGI, guarded."""
        wanted = access.scope_of("POST", direct.prefix.decode())
        begin = direct.begin

        def guarded(exchange: Exchange) -> None:
            exchange.hardening = _HARDENING_LINES
            if wanted is not None and self._known is not None:
                _, refusal = self._refusal(exchange.headers, wanted)
                if refusal is not None:
                    REFUSED.labels(str(refusal.status)).inc()
                    return exchange.refuse(*_problem(refusal))
            return begin(exchange)

        return replace(direct, begin=guarded)

    async def _with_whole_body(self, app: Asgi, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Reads the body, within the limit, before the app has it: FastAPI would read one of any size."""
        try:
            most = next((n for below, n in self._allowed.items() if scope["path"].startswith(below)), self._body_bytes)
            body = await read_body(receive, dict(scope["headers"]), most)
        except Problem as problem:
            REFUSED.labels(str(problem.status)).inc()
            return await respond_problem(send, problem, path=scope["path"])
        except ClientGone:
            return None
        messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> MutableMapping[str, Any]:
            return messages.pop() if messages else await receive()

        return await app(scope, replay, send)

    def allow(self, below: str, body_bytes: int) -> None:
        """Lets requests to paths that begin so have a larger body than others."""
        self._allowed[below] = body_bytes

    @property
    def asks(self) -> bool:
        """Whether there are tokens to ask for."""
        return self._known is not None

    def in_force(self, digest: bytes) -> Token | None:
        """The token of this SHA-256, where it is known and has not expired."""
        token = self._by_digest(digest)
        ended = token is None or (token.expires_at is not None and time.time() >= token.expires_at)
        return None if ended else token

    def _refusal(
        self, headers: Headers, wanted: Scope, session: bytes | None = None
    ) -> tuple[str | None, Refusal | None]:
        """The name of the token that asks, and why it is refused. ``session``: the SHA-256 of a token that was shown
        before, by whoever is in front of this (a header goes first).
        """
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                digest = tokens.digest_of(value[7:].strip())
                break
        else:
            if session is None:
                return None, access.ABSENT
            digest = session
        token = self._by_digest(digest)
        if token is None:
            return None, access.UNKNOWN
        refusal = access.refuses(token, wanted, time.time())
        per_s = self._per_s if token.requests_per_s is None else token.requests_per_s
        if refusal is None and per_s:
            self._due[token.name], refusal = access.admit(
                self._due.get(token.name, 0.0), self._clock(), per_s, self._burst
            )
        return token.name, refusal

    def _by_digest(self, digest: bytes) -> Token | None:
        # Found by its hash: how long that takes tells of the hash alone, and nobody can make a token for a wanted one.
        token = (self._known or {}).get(digest)
        return token if token is not None and hmac.compare_digest(token.sha256, digest) else None


def open_guard(life: Life, settings: AccessSettings) -> Guard:
    """A service's guard; follows the tokens file while the service lives, and keeps the last good tokens."""
    path = settings.tokens_file
    if path is None:
        _log.warning("authentication is off: whoever reaches this port may do everything; set AUTH__TOKENS_FILE")
        return Guard(settings, None)
    seen = _mark(path)
    known = tokens.by_digest(tokens.read_lines(path).values())
    if not known:
        _log.warning("there are no tokens yet: everything but health is refused", file=str(path))
    guard = Guard(settings, known)
    life.spawn("tokens", _follow(guard, path, seen))
    return guard


async def _follow(guard: Guard, path: Path, seen: tuple[int, ...]) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        mark = await asyncio.to_thread(_mark, path)
        if mark == seen:
            continue
        seen = mark
        try:
            lines = await asyncio.to_thread(tokens.read_lines, path)
        except Permanent as err:
            _log.error("the tokens stay as they were", reason=str(err))
        else:
            guard.knows(tokens.by_digest(lines.values()))
            _log.info("tokens read again", tokens=len(lines))


def _mark(path: Path) -> tuple[int, ...]:
    """What differs once a file was changed."""
    try:
        now = path.stat()
    except OSError:
        return ()
    return now.st_mtime_ns, now.st_size, now.st_ino


def hardened(send: Send) -> Send:
    """What sends an answer, with the security headers; a page's own Cache-Control stays."""

    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers: Headers = list(message.get("headers", ()))
            own = any(name == b"cache-control" for name, _ in headers)
            message["headers"] = headers + (_HARDENING if own else _HARDENING_PRIVATE)
        await send(message)

    return with_headers


async def _refuse(send: Send, refusal: Refusal, path: str) -> None:
    await respond_problem(send, *_problem(refusal), path=path)


def _problem(refusal: Refusal) -> tuple[Problem, Headers]:
    problem = Problem(refusal.status, refusal.detail, retry_after_s=refusal.retry_after_s)
    challenge = [(b"www-authenticate", refusal.challenge.encode("latin-1", "replace"))] if refusal.challenge else []
    return problem, challenge
