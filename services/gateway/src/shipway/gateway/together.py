"""``POST /predict``, to several models, by one ASGI function ahead of FastAPI: answered now, or accepted for later."""

import msgspec

from shipway.gateway.later import Later
from shipway.gateway.requests import TIMEOUT, milliseconds
from shipway.gateway.settings import LimitSettings
from shipway.gateway.several import Several
from shipway.runtime.http import (
    Asgi,
    ClientGone,
    Headers,
    Problem,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
    respond_problem,
    while_wanted,
)

PATH = "/predict"
_JSON = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder().encode


class SeveralApp:
    """Answers requests to several models itself, and hands everything else to ``rest``."""

    def __init__(self, several: Several, later: Later, limits: LimitSettings, rest: Asgi) -> None:
        self._several = several
        self._later = later
        self._limits = limits
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH:
            await self._rest(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            status, body, extra = await self._answer(headers, receive)
        except Problem as problem:
            await respond_problem(send, problem)
        except ClientGone:
            return
        else:
            await respond(send, status, body, [_JSON, *extra])

    async def _answer(self, headers: dict[bytes, bytes], receive: Receive) -> tuple[int, bytes, Headers]:
        longest_ms = milliseconds(headers.get(TIMEOUT)) or self._limits.request_timeout_ms
        body = await read_body(receive, headers, self._limits.body_bytes)
        longest_s = min(longest_ms, self._limits.request_timeout_ms) / 1000
        question = self._several.understand(body, longest_s, self._later.settings.timeout_ms / 1000, [*headers.items()])
        traceparent = headers.get(b"traceparent")
        if not question.later:
            return 200, _encode(await while_wanted(receive, self._several.answer(question, traceparent))), []
        result = await self._later.accept(question, traceparent)
        where = f"/results/{result.result_id}"
        told = {"id": result.result_id, "status": "pending", "result": where, "due_at": result.due_at}
        return 202, _encode(told), [(b"location", where.encode()), (b"retry-after", b"1")]
