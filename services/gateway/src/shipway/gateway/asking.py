"""What every way of asking for predictions shares: the route, the call, and how it ended."""

import asyncio
import difflib
import time
from collections.abc import Callable, Sequence
from typing import Any

from shipway.contract.rows import as_rows
from shipway.gateway.asked import Asked
from shipway.gateway.encoding import encoded_with_lookups
from shipway.gateway.endings import Endings
from shipway.gateway.items import Scores
from shipway.gateway.registry import Registry
from shipway.gateway.routing import Route
from shipway.gateway.settings import LimitSettings
from shipway.gateway.shadowing import Shadows
from shipway.gateway.upstream import Asking, Rows, Upstream
from shipway.runtime.http import Problem
from shipway.runtime.prediction_ids import as_text, new_ids
from shipway.runtime.prediction_sink import PredictionSink


class Asker:
    """Finds who answers, asks, and puts on record how it ended."""

    def __init__(
        self, registry: Registry, upstream: Upstream, sink: PredictionSink, limits: LimitSettings, instance: str
    ) -> None:
        self.limits = limits
        self.registry = registry
        self._upstream = upstream
        self.endings = Endings(registry, sink, instance)
        self._shadows = Shadows(upstream, sink, instance)

    def asked(self, model: str, traceparent: bytes | None, version: int | None = None) -> Asked:
        """A request that came just now."""
        return Asked(model, traceparent, self.limits.request_timeout_ms / 1000, version)

    def route_now(self, asked: Asked) -> Route | None:
        """The version that answers, by the shares; None where one must be waited for, or there is none."""
        routes = self.registry.routes.get(asked.model)
        asked.route = asked.chosen(routes) if routes is not None else None
        return asked.route

    async def route(self, asked: Asked) -> Route:
        """The version that answers, by the shares; waits for one within the patience.

        Raises:
            Problem: 404 no such model or version, 503 nobody can answer for it now, 504 its time is over.
        """
        model = asked.model
        until = time.monotonic() + min(self.limits.patience_ms / 1000, asked.left_s)
        while (routes := self.registry.routes.get(model)) is None and not self.registry.read:
            # A model that is not known yet is not one that does not exist.
            if not await self.registry.changes(model, until):
                raise starting()
        if routes is None:
            raise unknown(model, self.registry)
        while (route := asked.chosen(routes)) is None:
            if asked.version is not None and asked.version not in self.registry.held(model):
                raise Problem(404, f"no such version of {model} is held ({asked.version}); see GET /models/{model}")
            if not await self.registry.changes(model, until):
                if asked.left_s <= 0:
                    raise Problem(504, f"no instance could answer for {model} in {asked.timeout_s * 1000:.0f} ms")
                raise Problem(503, f"no instance can answer for {model} now; see GET /models/{model}", retry_after_s=1)
            routes = self.registry.routes.get(model, routes)
        asked.route = route
        return route

    def encoded(self, asked: Asked, rows: Sequence[Any]) -> list[list[float]]:
        """Rows as the numbers of the version that the request was routed to, with what it looks up.

        Raises:
            InvalidRows: with every wrong field. Problem: 503, the look-up tables are not whole here.
        """
        route = asked.route
        assert route is not None, "a request is routed before it is read"
        encoder = route.form.encoder
        if not encoder.lookups:
            return encoder.encode(rows)
        numbers, asked.looked_up = encoded_with_lookups(route.model, encoder, rows, self.registry.features)
        return numbers

    def ask(
        self,
        asked: Asked,
        count: int,
        values: bytes,
        client_ids: list[str] | None,
        done: Callable[[list[list[float]] | Problem], None],
    ) -> Asking:
        """Asks for the scores of encoded rows by the version that the request was routed to; gives it its ids.

        ``values`` are ``count`` rows as the rows protocol has them. ``done`` gets the scores, a list a row, or the
        Problem (502, 503 or 504). Of a request to explain, each row's contributions come after its scores.

        Raises:
            Problem: 503, too many requests are under way.
        """
        route = asked.route
        assert route is not None, "a request is routed before it is scored"
        joined = new_ids(count)
        asked.ids = as_text(joined)
        asked.client_ids = client_ids
        sent = Rows(count, values, joined, bytes.fromhex(asked.span[3:35]), client_ids, asked.explain)
        outputs = route.signature.outputs_per_row
        if asked.explain:
            outputs *= len(route.signature.features) + 2

        def settled(outcome: Scores | Problem) -> None:
            if isinstance(outcome, Problem):
                done(outcome)
            elif asked.explain and outcome[0] == route.signature.outputs_per_row:
                done(Problem(503, "explain: the instance is of a release that can't yet", retry_after_s=5))
            elif outcome[0] != outputs:
                done(Problem(502, f"{route.model} version {route.version}: gave {outcome[0]} numbers a row"))
            else:
                done(as_rows(outcome[1], outputs))
                if route.shadow is not None and not asked.explain:
                    self._shadows.offer(route, route.shadow, sent, asked.rows, outcome[1])

        return self._upstream.ask(route, sent, asked.left_s, settled)

    async def scores(
        self, asked: Asked, count: int, values: bytes, client_ids: list[str] | None = None
    ) -> list[list[float]]:
        """As ``ask``, for those who wait for the scores.

        Raises:
            Problem: 502, 503 or 504.
        """
        found: asyncio.Future[list[list[float]]] = asyncio.get_running_loop().create_future()

        def done(outcome: list[list[float]] | Problem) -> None:
            if found.done():
                return
            if isinstance(outcome, Problem):
                found.set_exception(outcome)
            else:
                found.set_result(outcome)

        asking = self.ask(asked, count, values, client_ids, done)
        try:
            return await found
        except asyncio.CancelledError:
            asking.cancel()
            raise


def starting() -> Problem:
    """The refusal of a request that came too early."""
    return Problem(503, "the gateway starts and does not know the models yet; see GET /readyz", retry_after_s=1)


def unknown(model: str, registry: Registry) -> Problem:
    """The refusal of a model that is not served, with the one that may be meant."""
    served = list(registry.routes)
    close = difflib.get_close_matches(model[:100], served, 1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; served are {', '.join(served[:20]) or 'none yet'}"
    return Problem(404, f"model {model[:100]!r} is not served here{hint}")
