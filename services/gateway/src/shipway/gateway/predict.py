"""The hot path: ``POST /predict/{model}``, by one ASGI function ahead of FastAPI, and by a door beside ASGI."""

import asyncio

from shipway.contract.rowencoding import InvalidRows
from shipway.contract.rows import as_bytes
from shipway.gateway.asked import Asked
from shipway.gateway.asking import Asker
from shipway.gateway.requests import TIMEOUT, checked_rows, named, parse_request, shorten, wrong_rows
from shipway.runtime.direct import Exchange
from shipway.runtime.http import (
    Asgi,
    ClientGone,
    Problem,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
    respond_problem,
    while_wanted,
)

PREFIX = "/predict/"


class PredictApp:
    """Answers predictions itself, and hands everything else to ``rest``. ``begin`` is its door beside ASGI."""

    def __init__(self, asker: Asker, rest: Asgi) -> None:
        self._asker = asker
        self._rest = rest
        self._slow: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(PREFIX):
            await self._rest(scope, receive, send)
            return
        headers = dict(scope["headers"])
        asked = self._asker.asked(scope["path"][len(PREFIX) :], headers.get(b"traceparent"))
        asked.headers = scope["headers"]
        extra = [(b"traceparent", asked.span.encode())]
        try:
            shorten(asked, headers.get(TIMEOUT))
            body = await read_body(receive, headers, self._asker.limits.body_bytes)
            answer = await while_wanted(receive, self._predict(asked, body))
        except Problem as problem:
            self._asker.endings.refused(asked, problem)
            await respond_problem(send, problem, extra)
        except ClientGone:
            self._asker.endings.gone(asked)
        else:
            self._asker.endings.answered(asked)
            await respond(send, 200, answer, [(b"content-type", b"application/json"), *extra])

    def begin(self, exchange: Exchange) -> None:
        """Answers a request as ``__call__`` does; without a task, unless a version must be waited for."""
        named = exchange.named
        timeout = named.get(TIMEOUT)
        asked = self._asker.asked(exchange.path[len(PREFIX) :], named.get(b"traceparent"))
        asked.headers, asked.body = exchange.headers, exchange.body
        if timeout is not None:
            try:
                shorten(asked, timeout)
            except Problem as problem:
                self._refuse(asked, exchange, problem)
                return
        if self._asker.route_now(asked) is None:
            task = asyncio.create_task(self._slowly(asked, exchange))
            self._slow.add(task)
            task.add_done_callback(self._slow.discard)
            exchange.on_gone = task.cancel
            return

        def done(scores: list[list[float]] | Problem) -> None:
            if isinstance(scores, Problem):
                self._refuse(asked, exchange, scores)
            else:
                self._answer(asked, exchange, _rendered(asked, scores))

        def gone() -> None:
            asking.cancel()
            self._asker.endings.gone(asked)

        try:
            asking = self._asker.ask(asked, *self._encoded(asked, exchange.body), done)
        except Problem as problem:
            self._refuse(asked, exchange, problem)
        else:
            if not exchange.response_complete:
                exchange.on_gone = gone

    async def _slowly(self, asked: Asked, exchange: Exchange) -> None:
        try:
            self._answer(asked, exchange, await self._predict(asked, exchange.body))
        except Problem as problem:
            self._refuse(asked, exchange, problem)
        except asyncio.CancelledError:
            self._asker.endings.gone(asked)
            raise

    async def _predict(self, asked: Asked, body: bytes) -> bytes:
        asked.body = body
        await self._asker.route(asked)
        return _rendered(asked, await self._asker.scores(asked, *self._encoded(asked, body)))

    def _encoded(self, asked: Asked, body: bytes) -> tuple[int, bytes, list[str] | None]:
        """How many rows the request has, their numbers, and the client's names for them."""
        most, route = self._asker.limits.rows, asked.route
        assert route is not None, "a request is routed before it is read"
        # A shadow may have other features: it needs the rows as they came.
        plain = route.form.plain if route.shadow is None else None
        request = plain.read(body) if plain is not None else None
        if plain is not None and request is not None:
            rows, client_ids = checked_rows(request, most)
            values = plain.numbers(rows, request.columns)
            if values is not None:
                asked.explain = request.explain
                return len(rows), values, client_ids
        request = parse_request(body)
        sent, client_ids = checked_rows(request, most)
        rows = named(request, sent)
        asked.explain, asked.rows = request.explain, rows
        try:
            return len(rows), as_bytes(self._asker.encoded(asked, rows)), client_ids
        except InvalidRows as err:
            raise wrong_rows(err) from err

    def _answer(self, asked: Asked, exchange: Exchange, body: bytes) -> None:
        self._asker.endings.answered(asked)
        exchange.answer(200, b"content-type: application/json\r\ntraceparent: %b\r\n" % asked.span.encode(), body)

    def _refuse(self, asked: Asked, exchange: Exchange, problem: Problem) -> None:
        self._asker.endings.refused(asked, problem)
        exchange.refuse(problem, [(b"traceparent", asked.span.encode())])


def _rendered(asked: Asked, scores: list[list[float]]) -> bytes:
    assert asked.route is not None, "a request is routed before it is answered"
    return asked.route.rendering.answer(asked.ids, scores, explain=asked.explain, looked_up=asked.looked_up)
