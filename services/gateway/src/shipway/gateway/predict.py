"""The hot path: one ASGI function for ``POST /predict/{model}``, ahead of FastAPI."""

import difflib
import os
import random
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from prometheus_client import Counter, Histogram

from shipway.contract.predictionlog import Outcome, PredictionRecord
from shipway.contract.signature import InvalidRows, describe_output
from shipway.gateway.registry import Registry
from shipway.gateway.routing import Route
from shipway.gateway.settings import LimitSettings
from shipway.gateway.upstream import Upstream
from shipway.runtime import log, trace
from shipway.runtime.http import ClientGone, Problem, Receive, Scope, Send, read_body, respond, respond_problem
from shipway.runtime.lifecycle import Asgi
from shipway.runtime.prediction_sink import PredictionSink

_log = log.get(__name__)
REQUESTS = Counter("shipway_gateway_requests_total", "Prediction requests, by how they ended.", ["model", "outcome"])
SECONDS = Histogram(
    "shipway_gateway_seconds",
    "Seconds from request to answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_PREFIX = "/predict/"
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

    def __init__(
        self,
        registry: Registry,
        upstream: Upstream,
        sink: PredictionSink,
        limits: LimitSettings,
        instance: str,
        rest: Asgi,
    ) -> None:
        self._registry = registry
        self._upstream = upstream
        self._sink = sink
        self._limits = limits
        self._instance = instance
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(_PREFIX):
            await self._rest(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        model = scope["path"][len(_PREFIX) :]
        asked = _Asked(model)
        with trace.within(headers.get(b"traceparent", b"").decode("latin-1") or None) as span:
            extra = [(b"traceparent", span.encode())]
            try:
                answer = await self._predict(asked, receive, headers, bytes.fromhex(span[3:35]))
            except Problem as problem:
                self._refused(asked, problem, begun)
                await respond_problem(send, problem, extra)
            except ClientGone:
                REQUESTS.labels(self._label(model), "client gone").inc()
            else:
                REQUESTS.labels(model, "answered").inc()
                await respond(send, 200, answer, [(b"content-type", b"application/json"), *extra])
        SECONDS.observe(time.perf_counter() - begun)

    async def _predict(
        self, asked: "_Asked", receive: Receive, headers: Mapping[bytes, bytes], trace_id: bytes
    ) -> bytes:
        body = await read_body(receive, dict(headers), self._limits.body_bytes)
        route = asked.route = await self._route(asked.model)
        rows, client_ids = self._parse(body)
        try:
            encoded = route.encoder.encode(rows)
        except InvalidRows as err:
            errors = [(p.field, p.problem) for p in err.problems]
            raise Problem(422, f"{len(errors)} wrong: {err}"[:500], errors=errors) from err
        joined = os.urandom(16 * len(rows))
        ids = asked.ids = [joined[i : i + 16].hex() for i in range(0, len(joined), 16)]
        asked.client_ids = client_ids
        scores = await self._upstream.infer(route, encoded, joined, trace_id, client_ids)
        predictions = [
            {"id": one, **describe_output(route.signature, numbers)} for one, numbers in zip(ids, scores, strict=True)
        ]
        return _encode({"model": route.model, "version": route.version, "predictions": predictions})

    async def _route(self, model: str) -> Route:
        until = time.monotonic() + self._limits.patience_ms / 1000
        while (routes := self._registry.routes.get(model)) is None and not self._registry.read:
            # A model that is not known yet is not one that does not exist.
            if not await self._registry.changes(until):
                raise starting()
        if routes is None:
            served = list(self._registry.routes)
            close = difflib.get_close_matches(model[:100], served, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; served are {', '.join(served[:20]) or 'none yet'}"
            raise Problem(404, f"model {model[:100]!r} is not served here{hint}")
        while (route := routes.choose(random.random())) is None:
            if not await self._registry.changes(until):
                raise Problem(503, f"no instance can answer for {model} now; see GET /models/{model}", retry_after_s=1)
            routes = self._registry.routes.get(model, routes)
        return route

    def _parse(self, body: bytes) -> tuple[list[Any], list[str] | None]:
        try:
            request = _decode(body)
        except msgspec.ValidationError as err:
            raise Problem(422, f"the body does not fit: {err}", errors=[("body", str(err))]) from err
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            raise Problem(400, f"the body is not JSON: {err}") from err
        if (request.rows is None) == (request.row is None):
            raise _wrong("rows", 'send {"rows": [{feature: value, ...}, ...]}, or one {"row": {...}}')
        rows = request.rows if request.rows is not None else [request.row]
        if not 1 <= len(rows) <= self._limits.rows:
            raise _wrong("rows", f"has {len(rows)} rows; 1 to {self._limits.rows} are allowed")
        ids = request.client_ids
        if ids is not None and (len(ids) != len(rows) or any(len(i) > _MAX_ID for i in ids)):
            raise _wrong("client_ids", f"must be one a row, {_MAX_ID} characters at most")
        return rows, ids

    def _refused(self, asked: "_Asked", problem: Problem, begun: float) -> None:
        # A 503 is a refusal: an overload must not count against the version.
        outcome: Outcome = "failed" if problem.status in (500, 502, 504) else "refused"
        REQUESTS.labels(self._label(asked.model), outcome).inc()
        if problem.status >= 500:
            _log.warning("prediction failed", model=asked.model[:100], status=problem.status, reason=problem.detail)
        if asked.model not in self._registry.routes:
            return  # a name that is no model's: counted, but no record of a model
        now, latency_us = datetime.now(UTC), round(1e6 * (time.perf_counter() - begun))
        trace_id = trace.trace_id(trace.current())
        for i, one in enumerate(asked.ids or [uuid.uuid4().hex]):
            self._sink.put(
                PredictionRecord(
                    prediction_id=one,
                    at=now,
                    model=asked.model,
                    version=asked.route.version if asked.route else None,
                    generation=asked.route.generation if asked.route else None,
                    instance=self._instance,
                    role=asked.route.role if asked.route else None,
                    outcome=outcome,
                    reason=f"{problem.status}: {problem.detail}"[:500],
                    latency_us=latency_us,
                    client_id=asked.client_ids[i] if asked.client_ids else None,
                    trace_id=trace_id,
                    features=None,
                    scores=None,
                )
            )

    def _label(self, model: str) -> str:
        """The model's name as a metric's label; names that clients make up must not fill the memory."""
        return model if model in self._registry.routes else "unknown"


class _Asked:
    """What is known of a request by the time it ends."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.route: Route | None = None
        self.ids: list[str] = []
        self.client_ids: list[str] | None = None


def refusing(rest: Asgi) -> Asgi:
    """The application until the gateway has its parts: no prediction, and ``rest`` for everything else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_PREFIX):
            await respond_problem(send, starting())
        else:
            await rest(scope, receive, send)

    return app


def starting() -> Problem:
    """The refusal of a request that came too early."""
    return Problem(503, "the gateway starts and does not know the models yet; see GET /readyz", retry_after_s=1)


def _wrong(field: str, problem: str) -> Problem:
    return Problem(422, f"{field}: {problem}", errors=[(field, problem)])
