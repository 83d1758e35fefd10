"""The call to a predictor: within the deadline, elsewhere when an instance fails, and never too many retries.

A prediction changes nothing, so it may be asked again after a lost connection; the budget keeps retries from
making an overload worse.
"""

import random
import time
import uuid
from collections import Counter

import httpx
import numpy as np
from prometheus_client import Counter as Metric

from shipway.contract.errors import InvalidField
from shipway.contract.inference import (
    DEADLINE_HEADER,
    LENGTH_HEADER,
    NOT_LOADED,
    Labels,
    Matrix,
    decode_answer,
    encode_request,
)
from shipway.gateway.registry import Registry
from shipway.gateway.routing import Instance, Route, pick_instance
from shipway.gateway.settings import LimitSettings
from shipway.runtime import trace
from shipway.runtime.http import Problem

RETRIES = Metric("shipway_gateway_retries_total", "Requests sent once more, to another instance.")
PER_S = 10.0
BURST = 10 * PER_S
MOST = 500.0


class RetryBudget:
    """Allows retries up to a share of the requests, and a few a second; many at once, as a killed instance needs."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = BURST
        self._at = time.monotonic()

    def earn(self) -> None:
        """A request came."""
        now = time.monotonic()
        if self._tokens < BURST:
            self._tokens = min(BURST, self._tokens + PER_S * (now - self._at))
        self._at = now
        self._tokens = min(MOST, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a retry is allowed; counts it."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Upstream:
    """Scores rows on an instance that holds the version."""

    def __init__(self, registry: Registry, limits: LimitSettings) -> None:
        self._registry = registry
        self._limits = limits
        self._budget = RetryBudget(limits.retry_share)
        self._under_way: Counter[tuple[str, int]] = Counter()
        self._http = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30),
            trust_env=False,  # predictors are never behind the proxy of the environment
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def infer(
        self, route: Route, rows: list[list[float]], ids: list[str], client_ids: list[str] | None
    ) -> Matrix:
        """The scores (rows, outputs) of encoded rows, by the route's version.

        Raises:
            Problem: 503 overloaded or nobody left to ask, 504 out of time, 502 an answer that is none.
        """
        key = (route.model, route.version)
        if self._under_way[key] >= self._limits.in_flight:
            raise Problem(503, f"{route.model} has {self._limits.in_flight} requests under way", retry_after_s=1)
        self._under_way[key] += 1
        self._budget.earn()
        try:
            labels = Labels(prediction_ids=ids, client_ids=client_ids, role=route.role, generation=route.generation)
            length, body = encode_request(uuid.uuid4().hex, labels, np.array(rows, dtype=np.float64))
            return await self._ask_around(route, len(rows), length, body)
        finally:
            self._under_way[key] -= 1

    async def _ask_around(self, route: Route, rows: int, length: int, body: bytes) -> Matrix:
        deadline = time.monotonic() + self._limits.request_timeout_ms / 1000
        until = time.monotonic() + self._limits.patience_ms / 1000
        tried: set[str] = set()
        busy = False  # then somebody is left, and waiting for others would make it worse
        failure = "no instance is left to ask"
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Problem(504, f"no answer in {self._limits.request_timeout_ms} ms: {failure}")
            instance = pick_instance(
                self._instances(route), lambda name: self._registry.busy[name], random.randrange, frozenset(tried)
            )
            if instance is None:
                if not busy and await self._registry.changes(min(until, deadline)):
                    tried = {name for name in tried if not self._registry.well(name)}
                    continue
                raise Problem(503, f"{route.model} version {route.version}: {failure}", retry_after_s=1)
            if tried and not self._budget.spend():
                raise Problem(503, f"{failure}; too many requests had to be asked again", retry_after_s=1)
            if tried:
                RETRIES.inc()
            tried.add(instance.name)
            try:
                response = await self._post(instance, route, length, body, left_s)
            except httpx.TimeoutException as err:
                failure = f"{instance.name} did not answer in time ({type(err).__name__})"
                self._registry.eject(instance.name, failure)
                continue
            except httpx.HTTPError as err:
                failure = f"{instance.name}: {err or type(err).__name__}"
                self._registry.eject(instance.name, failure)
                continue
            if response.status_code == 200:
                return self._scores(response, route, rows)
            failure = f"{instance.name} answers {response.status_code}"
            busy = busy or response.status_code == 503
            if not _elsewhere(response):
                raise Problem(502, f"{failure}: {_detail(response)}")

    def _instances(self, route: Route) -> tuple[Instance, ...]:
        """Who can answer for the version now: the table may have changed since the request came."""
        routes = self._registry.routes.get(route.model)
        now = next((r for r in routes.routes if r.version == route.version), None) if routes is not None else None
        return now.instances if now is not None else route.instances

    async def _post(self, instance: Instance, route: Route, length: int, body: bytes, left_s: float) -> httpx.Response:
        headers = {
            "content-type": "application/octet-stream",
            LENGTH_HEADER: str(length),
            DEADLINE_HEADER: str(int(left_s * 1000)),
        }
        if (traceparent := trace.current()) is not None:
            headers["traceparent"] = trace.child(traceparent)
        self._registry.busy[instance.name] += 1
        try:
            url = f"{instance.url}/v2/models/{route.model}/versions/{route.version}/infer"
            # With others to ask, one instance does not get all the time that there is.
            patience_s = left_s if len(route.instances) == 1 else left_s / 2
            return await self._http.post(url, content=body, headers=headers, timeout=patience_s)
        finally:
            self._registry.busy[instance.name] -= 1

    def _scores(self, response: httpx.Response, route: Route, rows: int) -> Matrix:
        try:
            return decode_answer(
                response.content,
                response.headers.get(LENGTH_HEADER),
                rows=rows,
                outputs=route.signature.outputs_per_row,
            )
        except InvalidField as err:
            raise Problem(502, f"{route.model} version {route.version}: {err}") from err


def _elsewhere(response: httpx.Response) -> bool:
    """Whether the answer says that another instance may do it."""
    return response.status_code == 503 or (response.status_code == 404 and NOT_LOADED in response.text)


def _detail(response: httpx.Response) -> str:
    return response.text[:300]
