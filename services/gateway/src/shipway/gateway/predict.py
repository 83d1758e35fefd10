"""The hot path: one ASGI function for ``POST /predict/{model}``, ahead of FastAPI."""

from typing import Any

import msgspec

from shipway.contract.signature import InvalidRows, describe_output
from shipway.gateway.asking import Asked, Asker, starting
from shipway.runtime import trace
from shipway.runtime.http import ClientGone, Problem, Receive, Scope, Send, read_body, respond, respond_problem
from shipway.runtime.lifecycle import Asgi

PREFIX = "/predict/"
_MAX_ID = 200


class PredictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body: ``rows``, or one ``row``; ``client_ids`` name the rows in the client's own words."""

    rows: list[Any] | None = None
    row: dict[str, Any] | None = None
    client_ids: list[str] | None = None


_decode = msgspec.json.Decoder(PredictRequest).decode
_encode = msgspec.json.Encoder().encode


class PredictApp:
    """Answers predictions itself, and hands everything else to ``rest``."""

    def __init__(self, asker: Asker, rest: Asgi) -> None:
        self._asker = asker
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(PREFIX):
            await self._rest(scope, receive, send)
            return
        headers = dict(scope["headers"])
        asked = Asked(scope["path"][len(PREFIX) :])
        with trace.within(headers.get(b"traceparent", b"").decode("latin-1") or None) as span:
            extra = [(b"traceparent", span.encode())]
            try:
                answer = await self._predict(asked, receive, headers, bytes.fromhex(span[3:35]))
            except Problem as problem:
                self._asker.refused(asked, problem)
                await respond_problem(send, problem, extra)
            except ClientGone:
                self._asker.gone(asked)
            else:
                self._asker.answered(asked)
                await respond(send, 200, answer, [(b"content-type", b"application/json"), *extra])

    async def _predict(self, asked: Asked, receive: Receive, headers: dict[bytes, bytes], trace_id: bytes) -> bytes:
        limits = self._asker.limits
        body = await read_body(receive, headers, limits.body_bytes)
        route = await self._asker.route(asked)
        rows, client_ids = parse_request(body, limits.rows)
        try:
            encoded = route.encoder.encode(rows)
        except InvalidRows as err:
            raise wrong_rows(err) from err
        scores = await self._asker.scores(asked, encoded, trace_id, client_ids)
        predictions = [
            {"id": one, **describe_output(route.signature, numbers)}
            for one, numbers in zip(asked.ids, scores, strict=True)
        ]
        return _encode({"model": route.model, "version": route.version, "predictions": predictions})


def parse_request(body: bytes, max_rows: int) -> tuple[list[Any], list[str] | None]:
    """The rows of a request and the client's names for them.

    Raises:
        Problem: 400 no JSON, 422 not a request.
    """
    try:
        request = _decode(body)
    except msgspec.ValidationError as err:
        raise Problem(422, f"the body does not fit: {err}", errors=[("body", str(err))]) from err
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise Problem(400, f"the body is not JSON: {err}") from err
    if (request.rows is None) == (request.row is None):
        raise _wrong("rows", 'send {"rows": [{feature: value, ...}, ...]}, or one {"row": {...}}')
    rows = request.rows if request.rows is not None else [request.row]
    if not 1 <= len(rows) <= max_rows:
        raise _wrong("rows", f"has {len(rows)} rows; 1 to {max_rows} are allowed")
    ids = request.client_ids
    if ids is not None and (len(ids) != len(rows) or any(len(i) > _MAX_ID for i in ids)):
        raise _wrong("client_ids", f"must be one a row, {_MAX_ID} characters at most")
    return rows, ids


def wrong_rows(err: InvalidRows) -> Problem:
    """The refusal of rows that the signature refuses, with every wrong field."""
    errors = [(p.field, p.problem) for p in err.problems]
    return Problem(422, f"{len(errors)} wrong: {err}"[:500], errors=errors)


def refusing(rest: Asgi) -> Asgi:
    """The application until the gateway has its parts: no prediction, and ``rest`` for everything else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await respond_problem(send, starting())
        else:
            await rest(scope, receive, send)

    return app


def _wrong(field: str, problem: str) -> Problem:
    return Problem(422, f"{field}: {problem}", errors=[(field, problem)])
