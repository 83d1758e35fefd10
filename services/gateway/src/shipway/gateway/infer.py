"""Inference by the Open Inference Protocol v2, by one ASGI function ahead of FastAPI; with any version that is held."""

from functools import partial

import numpy as np

from shipway.contract.errors import InvalidField
from shipway.contract.inference import decode_request, encode_answer, first_value
from shipway.contract.inferpaths import LENGTH_HEADER, asked_model
from shipway.contract.rowencoding import InvalidRows
from shipway.contract.signature import Signature
from shipway.gateway.asked import Asked
from shipway.gateway.asking import Asker
from shipway.gateway.registry import Registry
from shipway.gateway.requests import TIMEOUT, shorten, wrong_rows
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

_LENGTH = LENGTH_HEADER.encode()


class InferApp:
    """Answers inference requests itself, and hands everything else to ``rest``."""

    def __init__(self, asker: Asker, rest: Asgi) -> None:
        self._asker = asker
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        wanted = asked_model(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if wanted is None:
            await self._rest(scope, receive, send)
            return
        headers = dict(scope["headers"])
        model, version = wanted
        asked = self._asker.asked(model, headers.get(b"traceparent"), version)
        asked.headers = scope["headers"]
        extra: Headers = [(b"traceparent", asked.span.encode())]
        try:
            shorten(asked, headers.get(TIMEOUT))
            body = await read_body(receive, headers, self._asker.limits.body_bytes)
            length, answer = await while_wanted(receive, self._infer(asked, body, headers.get(_LENGTH)))
        except Problem as problem:
            self._asker.endings.refused(asked, problem)
            await respond_problem(send, problem, extra, path=scope["path"])
        except ClientGone:
            self._asker.endings.gone(asked)
        else:
            self._asker.endings.answered(asked)
            kind: Headers = [(b"content-type", b"application/json")]
            if length is not None:
                kind = [(b"content-type", b"application/octet-stream"), (_LENGTH, str(length).encode())]
            await respond(send, 200, answer, [*kind, *extra])

    async def _infer(self, asked: Asked, body: bytes, length: bytes | None) -> tuple[int | None, bytes]:
        json_bytes = length.decode("latin-1") if length is not None else None
        asked.first_value = partial(first_value, body, json_bytes)
        route = await self._asker.route(asked)
        try:
            encode = partial(self._asker.encoded, asked)
            max_rows = self._asker.limits.rows
            request = decode_request(body, json_bytes, route.encoder, max_rows=max_rows, encode=encode)
        except InvalidField as err:
            raise Problem(422, str(err)[:500], errors=[(err.field, err.problem)]) from err
        except InvalidRows as err:
            raise wrong_rows(err) from err
        if request.labels.timeout:
            asked.within(request.labels.timeout / 1000)
        asked.explain = request.labels.explain
        values = request.rows.astype("<f8", copy=False).tobytes()
        scores = await self._asker.scores(asked, len(request.rows), values, request.labels.client_ids)
        return encode_answer(route.model, route.version, request, route.signature, np.array(scores), asked.ids)


class Served:
    """What the gateway serves, as the protocol's routes ask for it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def unready(self) -> str | None:
        """Why no model is known yet."""
        return None if self._registry.read else "desired state and presence not read yet"

    def served(self, model: str) -> dict[int, Signature] | None:
        """The versions that can answer now, the one with most of the traffic first."""
        routes = self._registry.routes.get(model)
        if routes is None:
            return None
        return {r.version: r.signature for r in sorted(routes.routes, key=lambda r: -r.share)}
