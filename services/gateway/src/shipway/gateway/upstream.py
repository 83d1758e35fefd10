"""The call to a predictor: within the deadline, elsewhere when an instance fails, and never too many retries.

A prediction changes nothing, so it may be asked again after a lost connection; the budget keeps retries from
making an overload worse.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Set

import msgspec
from prometheus_client import Counter as Metric

from shipway.contract import rows as protocol
from shipway.gateway.items import Item, Outcome, Refused, Scores
from shipway.gateway.lines import Lines
from shipway.gateway.link import NotSent
from shipway.gateway.registry import Registry
from shipway.gateway.retries import RetryBudget, RetryBudgets
from shipway.gateway.routing import Instance, Route, pick_instance
from shipway.gateway.settings import LimitSettings
from shipway.runtime.http import Problem

RETRIES = Metric("shipway_gateway_retries_total", "Requests sent once more, to another instance.")
Done = Callable[[Scores | Problem], None]


class Rows(msgspec.Struct, frozen=True):
    """Encoded rows: ``values`` as the protocol has them, ids of 16 bytes a row, 16 bytes of trace, clients' names."""

    count: int
    values: bytes
    ids: bytes
    trace_id: bytes
    client_ids: list[str] | None
    explain: bool = False


class Asking:
    """One request on its way from instance to instance, until one answers, all have failed, or its time is over.

    ``done`` gets (outputs a row, scores) or the Problem, once, unless it is cancelled before. It may be called before
    ``begin`` returns.
    """

    # What most requests never change.
    _tried: Set[str] = frozenset()
    """Whom it is no use to ask again."""
    _busy = False  # then somebody is left, and waiting for others would make it worse
    _not_sent = False
    _failure = "no instance is left to ask"
    _item: Item | None = None
    _instance = ""
    _waiting: asyncio.Task[None] | None = None

    def __init__(self, upstream: "Upstream", route: Route, rows: Rows, left_s: float, done: Done) -> None:
        self.route = route
        self._upstream = upstream
        self._registry = upstream.registry
        self._rows = rows
        self._done = done
        self._loop = upstream.loop
        self._begun = self._loop.time()
        self._deadline = self._begun + left_s

    def begin(self) -> None:
        """Asks the next instance, or says that there is none."""
        now = self._loop.time()
        left_s = self._deadline - now
        if left_s <= 0:
            return self._fail(504, f"no answer in time: {self._failure}")
        holders = self._upstream.holders(self.route)
        instance = pick_instance(holders, self._registry.busy.__getitem__, random.randrange, self._tried)
        if instance is None:
            self._waiting = self._loop.create_task(self._wait())
            return None
        if self._tried:
            if not self._not_sent and not self._upstream.budget(self.route.model).spend():
                return self._fail(503, f"{self._failure}; too many requests had to be asked again")
            RETRIES.inc()
        # With others to ask, one instance does not get all the time that there is.
        patience_s = left_s / 2 if len(holders) > len(self._tried) + 1 else left_s
        rows = self._rows
        self._item = Item(
            rows.values,
            rows.count,
            rows.ids,
            rows.trace_id,
            rows.client_ids,
            self.route.role,
            self.route.generation,
            now + patience_s,
            self._settled,
            rows.explain,
            rows.explain,  # it takes long, which others are not to wait for
        )
        self._instance = instance.name
        self._registry.busy[instance.name] += 1
        self._upstream.lines.lane(instance, self.route).put(self._item)
        return None

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        if self._waiting is not None:
            self._waiting.cancel()
        elif self._item is not None:
            self._item.over = True
            self._registry.busy[self._instance] -= 1
        else:
            return
        self._upstream.ended(self.route)

    async def _wait(self) -> None:
        """Waits for another table, where that can help."""
        found = not self._busy and await self._registry.changes(
            self.route.model, min(self._begun + self._upstream.limits.patience_ms / 1000, self._deadline)
        )
        self._waiting = None
        if not found:
            return self._fail(503, f"{self.route.model} version {self.route.version}: {self._failure}")
        self._tried = {name for name in self._tried if not self._registry.well(name)}
        return self.begin()

    def _settled(self, outcome: Outcome) -> None:
        name = self._instance
        self._item = None
        self._registry.busy[name] -= 1
        if isinstance(outcome, tuple):
            self._upstream.ended(self.route)
            return self._done(outcome)
        self._tried = self._tried | {name}
        if isinstance(outcome, Refused):
            self._failure = f"{name} answers {outcome.status}: {outcome}"
            self._not_sent = outcome.status in (protocol.NOT_LOADED, protocol.BUSY)
            self._busy = self._busy or outcome.status == protocol.BUSY
            if not self._not_sent:
                if outcome.status == protocol.TOO_MUCH:  # the client's doing, whoever is asked
                    return self._fail(422, str(outcome))
                return self._fail(504 if outcome.status == protocol.LATE else 502, self._failure)
        else:
            self._not_sent = isinstance(outcome, NotSent)
            late = isinstance(outcome, TimeoutError)
            self._failure = f"{name} did not answer in time" if late else f"{name}: {outcome}"
            if not late:  # late may be the model; whether the instance hangs is for its link to find out
                self._registry.eject(name, self._failure)
        return self.begin()

    def _fail(self, status: int, detail: str) -> None:
        self._upstream.ended(self.route)
        self._done(Problem(status, detail, retry_after_s=1 if status == 503 else None))


class Upstream:
    """Scores rows on an instance that holds the version."""

    def __init__(self, registry: Registry, limits: LimitSettings) -> None:
        self.registry = registry
        self.limits = limits
        self.loop = asyncio.get_running_loop()  # asked for it each time, it makes a system call
        self._budgets = RetryBudgets(limits.retry_share)
        self.lines = Lines(registry, limits.silence_ms / 1000)
        self._under_way: Counter[tuple[str, int]] = Counter()

    async def close(self) -> None:
        """Closes the connections."""
        await self.lines.close()

    def budget(self, model: str) -> RetryBudget:
        """A model's retries."""
        return self._budgets.of(model, self.registry.routes)

    def ask(self, route: Route, rows: Rows, left_s: float, done: Done) -> Asking:
        """Asks for the scores of rows by the route's version within ``left_s``; ``done`` gets them, or the Problem.

        Raises:
            Problem: 503, too many requests of the version are under way.
        """
        key = route.key
        if self._under_way[key] >= self.limits.in_flight:
            raise Problem(503, f"{route.model} has {self.limits.in_flight} requests under way", retry_after_s=1)
        self._under_way[key] += 1
        self.budget(route.model).earn()
        asking = Asking(self, route, rows, left_s, done)
        asking.begin()
        return asking

    def ended(self, route: Route) -> None:
        """A request is over."""
        self._under_way[route.key] -= 1

    def holders(self, route: Route) -> tuple[Instance, ...]:
        """Who can answer for the version now: the table may have changed since the request came."""
        routes = self.registry.routes.get(route.model)
        if routes is not None:
            for now in routes.routes:
                if now is route or now.version == route.version:
                    return now.instances
        return route.instances
