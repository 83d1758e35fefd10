"""The call to a predictor: within the deadline, elsewhere when an instance fails, and never too many retries.

A prediction changes nothing, so it may be asked again after a lost connection; the budget keeps retries from
making an overload worse.
"""

import asyncio
import random
import time
from array import array
from collections import Counter
from itertools import chain
from sys import byteorder

from prometheus_client import Counter as Metric

from shipway.contract import rows as protocol
from shipway.gateway.lanes import Item, Lane, Refused
from shipway.gateway.link import Link, LinkLost, NotSent
from shipway.gateway.registry import Registry
from shipway.gateway.routing import Instance, Route, pick_instance
from shipway.gateway.settings import LimitSettings
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
        self._links: dict[str, asyncio.Task[Link]] = {}
        self._lanes: dict[tuple[str, str, int], Lane] = {}
        registry.on_out = self._out

    async def close(self) -> None:
        """Closes the connections."""
        for connecting in self._links.values():
            connecting.cancel()
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().close("the gateway stops")
        await asyncio.gather(*self._links.values(), return_exceptions=True)

    async def infer(
        self, route: Route, rows: list[list[float]], ids: bytes, trace_id: bytes, client_ids: list[str] | None
    ) -> list[list[float]]:
        """The scores, a list a row, of encoded rows, by the route's version.

        Args:
            route: which version, and who holds it.
            rows: as the route's encoder gives them.
            ids: the predictions' ids, 16 bytes a row.
            trace_id: the request's trace, 16 bytes.
            client_ids: the client's own names of the rows.

        Raises:
            Problem: 503 overloaded or nobody left to ask, 504 out of time, 502 an answer that is none.
        """
        key = (route.model, route.version)
        if self._under_way[key] >= self._limits.in_flight:
            raise Problem(503, f"{route.model} has {self._limits.in_flight} requests under way", retry_after_s=1)
        self._under_way[key] += 1
        self._budget.earn()
        values = array("d", chain.from_iterable(rows))
        if byteorder == "big":
            values.byteswap()
        try:
            outputs, scores = await self._ask_around(route, len(rows), values.tobytes(), ids, trace_id, client_ids)
        finally:
            self._under_way[key] -= 1
        if outputs != route.signature.outputs_per_row:
            raise Problem(502, f"{route.model} version {route.version}: gave {outputs} numbers a row")
        found = array("d", scores)
        if byteorder == "big":
            found.byteswap()
        numbers = found.tolist()
        return [numbers[i : i + outputs] for i in range(0, len(numbers), outputs)]

    async def _ask_around(
        self, route: Route, count: int, values: bytes, ids: bytes, trace_id: bytes, client_ids: list[str] | None
    ) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = now + self._limits.request_timeout_ms / 1000
        until = now + self._limits.patience_ms / 1000
        tried: set[str] = set()
        busy = False  # then somebody is left, and waiting for others would make it worse
        not_sent = False
        failure = "no instance is left to ask"
        while True:
            left_s = deadline - loop.time()
            if left_s <= 0:
                raise Problem(504, f"no answer in {self._limits.request_timeout_ms} ms: {failure}")
            holders = self._holders(route)
            instance = pick_instance(holders, self._registry.busy.__getitem__, random.randrange, tried)
            if instance is None:
                if not busy and await self._registry.changes(min(until, deadline)):
                    tried = {name for name in tried if not self._registry.well(name)}
                    continue
                raise Problem(503, f"{route.model} version {route.version}: {failure}", retry_after_s=1)
            if tried and not not_sent and not self._budget.spend():
                raise Problem(503, f"{failure}; too many requests had to be asked again", retry_after_s=1)
            if tried:
                RETRIES.inc()
            tried.add(instance.name)
            # With others to ask, one instance does not get all the time that there is.
            patience_s = left_s if len(holders) == 1 else left_s / 2
            item = Item(
                values=values,
                rows=count,
                prediction_ids=ids,
                trace_id=trace_id,
                client_ids=client_ids,
                role=route.role,
                generation=route.generation,
                until=loop.time() + patience_s,
                scores=loop.create_future(),
            )
            self._registry.busy[instance.name] += 1
            try:
                self._lane(instance, route).put(item)
                return await item.scores
            except TimeoutError:
                not_sent = False
                failure = f"{instance.name} did not answer in time"
                self._registry.eject(instance.name, failure)
            except LinkLost as err:
                not_sent = isinstance(err, NotSent)
                failure = f"{instance.name}: {err}"
                self._registry.eject(instance.name, failure)
            except Refused as err:
                not_sent = err.status in (protocol.NOT_LOADED, protocol.BUSY)
                failure = f"{instance.name} answers {err.status}: {err}"
                busy = busy or err.status == protocol.BUSY
                if err.status not in (protocol.NOT_LOADED, protocol.BUSY):
                    raise Problem(504 if err.status == protocol.LATE else 502, failure) from err
            finally:
                self._registry.busy[instance.name] -= 1

    def _holders(self, route: Route) -> tuple[Instance, ...]:
        """Who can answer for the version now: the table may have changed since the request came."""
        routes = self._registry.routes.get(route.model)
        now = next((r for r in routes.routes if r.version == route.version), None) if routes is not None else None
        return now.instances if now is not None else route.instances

    def _lane(self, instance: Instance, route: Route) -> Lane:
        key = (instance.rows, route.model, route.version)
        lane = self._lanes.get(key)
        if lane is None:
            # Versions and instances come and go: what none of the tables names any more goes here.
            self._lanes = {k: v for k, v in self._lanes.items() if not v.idle or self._registry.holds(*k)}
            lane = self._lanes[key] = Lane(route.model, route.version, lambda: self._link(instance.rows))
        return lane

    async def _link(self, address: str) -> Link:
        """The connection to an address; the first that asks makes it, and all wait for it.

        Raises:
            NotSent: nobody answers there.
        """
        connecting = self._links.get(address)
        if connecting is not None and connecting.done():
            gone = connecting.cancelled() or connecting.exception() is not None or connecting.result().lost
            connecting = None if gone else connecting
        if connecting is None:
            connecting = self._links[address] = asyncio.create_task(Link.connect(address))
        return await asyncio.shield(connecting)

    def _out(self, instance: Instance, why: str) -> None:
        """An instance is out: what it has in hand is asked elsewhere, and what is kept for it goes."""
        for key in [key for key in self._lanes if key[0] == instance.rows]:
            self._lanes.pop(key).fail(why)
        connecting = self._links.pop(instance.rows, None)
        if connecting is not None:
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().close(why)
            else:
                connecting.cancel()
