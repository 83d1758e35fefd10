"""One fault after another on one stand: a training in flight, steady load, the blow, and the way back to normal."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from world import LAST, eventually, features_of, make_rows

from chaos.checker import Allowed, History, Violation, check, not_logged, records, scored_twice
from chaos.faults import PREDICTORS, Moment, Planned
from chaos.injector import Injector
from chaos.load import Load
from chaos.recorder import Seen
from chaos.stand import Stand
from shipway.client import ShipwayError
from shipway.contract import events as e

MODEL = "chaos"
PER_S = 20.0
LIMIT_S = 120.0
STEADY_S = 1.0
LOOK_S = 0.2
EVENTS: dict[Moment, type[e.Event]] = {
    "accepted": e.TrainingAccepted,
    "completed": e.TrainingCompleted,
    "approved": e.ModelApproved,
    "released": e.ModelReleased,
}


@dataclass(frozen=True)
class Row:
    """What one fault did: a line of the table. Times are in seconds after the fault was lifted.

    ``serving_s``: until every service was ready and no request had failed for a second. ``loop_s``: until the training
    in flight had its end. ``scored_twice``: predictions that two instances have scored.
    """

    planned: Planned
    requests: int
    failed: int
    scored_twice: int
    slowest_s: float
    serving_s: float
    loop_s: float
    violations: list[Violation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def count(self, *kinds: str) -> int:
        """How many violations are of these kinds."""
        return sum(violation.kind in kinds for violation in self.violations)


class Scenario:
    """Runs planned faults; ``rng`` chooses the data of the trainings."""

    def __init__(self, stand: Stand, rng: random.Random) -> None:
        self._stand = stand
        self._world = stand.world
        self._rng = rng
        self._injector = Injector(stand)
        self._seen = Seen(stand.world, MODEL)
        rows = [features_of(row) for row in make_rows("binary", n=200, seed=5)]
        self._load = Load(self._world.gateway, MODEL, rows, PER_S)
        self._allowed = Allowed()
        self._twice = 0
        self._known: set[Violation] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """A model is declared, trained and served, and the load runs."""
        await self._world.declare(MODEL, retirement__max_age="60s", retirement__unused_for="30s")
        journey = await self._world.train(MODEL)
        assert journey.succeeded, journey
        tasks = [asyncio.create_task(self._load.run()), asyncio.create_task(self._seen.follow())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def possible(self, planned: Planned) -> bool:
        """Whether this machine can do it."""
        return all(self._injector.possible(blow) for blow in planned.fault.blows)

    async def run(self, planned: Planned) -> Row:
        """One fault, from normal to normal."""
        fault = planned.fault
        training = Training(self._seen, self._rng)
        if planned.moment != "at rest":
            await training.ask()
            await training.reach(planned.moment)
        await asyncio.sleep(planned.delay_s)
        begun = time.time()
        await asyncio.gather(*(self._injector.strike(blow) for blow in fault.blows))
        if planned.moment == "at rest":
            await training.ask()
        await asyncio.sleep(fault.hold_s)
        await asyncio.gather(*(self._injector.lift(blow) for blow in fault.blows))
        lifted = time.monotonic()
        problems: list[str] = []

        async def after(what: Callable[[], Awaitable[object]], name: str) -> float:
            async def look() -> object:
                await asyncio.sleep(LOOK_S)
                return await what()

            try:
                await eventually(look, name, LIMIT_S)
            except AssertionError as err:
                problems.append(str(err))
            return time.monotonic() - lifted

        serving_s = await after(self._steady, "steady again")
        await training.give_up_asking()
        loop_s = await after(training.ended, "the training in flight ends")
        lost = round(fault.loses_records_s * PER_S)
        self._allowed = Allowed(self._allowed.unlogged + lost, self._allowed.uncounted + lost)
        async with self._load.paused():
            await after(self._settled, "the monitor knows it all")
            seen = await self.history()
        violations = set(check(seen, self._allowed))
        # What was not lost this time may not be lost next time.
        missing, uncounted = not_logged(seen) - seen.dropped, records(seen) - sum(seen.usage.values())
        self._allowed = Allowed(max(0, missing), max(0, uncounted, len(seen.logged.keys() - seen.filed.keys())))
        found = self._load.since(begun)
        failures = [request for request in found if request.status != 200]
        problems += sorted({f"{request.status} {request.problem}" for request in failures})[:3]
        new, self._known = violations - self._known, violations
        if failures and not fault.may_fail:
            new.add(Violation("failed", f"{len(failures)} requests failed"))
        slowest_s = max((request.ended - request.begun for request in found), default=0.0)
        twice, self._twice = scored_twice(seen) - self._twice, scored_twice(seen)
        return Row(
            planned,
            requests=len(found),
            failed=len(failures),
            scored_twice=twice,
            slowest_s=slowest_s,
            serving_s=serving_s,
            loop_s=loop_s,
            violations=sorted(new, key=str),
            problems=problems,
        )

    async def history(self) -> History:
        """All that was seen by now."""
        return await self._seen.history(self._load, PREDICTORS)

    async def _steady(self) -> bool:
        """Every process is ready, and for a second every request was answered."""
        if set(self._world.supervisor.states().values()) != {"ready"}:
            return False
        recent = self._load.since(time.time() - STEADY_S)
        if len(recent) < PER_S * STEADY_S / 2 or any(request.status != 200 for request in recent):
            return False
        async with httpx.AsyncClient(timeout=2) as client:
            urls = self._world.supervisor.state().service_urls.values()
            answers = await asyncio.gather(*(client.get(f"{url}/readyz") for url in urls))
        return all(answer.status_code == 200 for answer in answers)

    async def _settled(self) -> bool:
        """Nothing new is wrong that time may heal: a record under way, a count or a view that lags."""
        found = set(check(await self.history(), self._allowed)) - self._known
        return not any(violation.kind in ("lost", "unlogged", "view") for violation in found)


class Training:
    """A training in flight."""

    def __init__(self, seen: Seen, rng: random.Random) -> None:
        self._seen = seen
        self._until = LAST - timedelta(days=rng.randint(0, 8))
        self._asking: asyncio.Task[None] | None = None
        self._request_id = ""

    async def ask(self) -> None:
        """Requests it; what answers, and when, is another matter."""
        asked = asyncio.Event()

        async def follow() -> None:
            with suppress(ShipwayError):
                async for journey in self._seen.world.shipway.train(MODEL, until=self._until, accept_within_s=LIMIT_S):
                    self._request_id = journey.request_id
                    asked.set()

        self._asking = asyncio.create_task(follow())
        waiting = asyncio.create_task(asked.wait())
        await asyncio.wait({self._asking, waiting}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def reach(self, moment: Moment) -> None:
        """Waits for a moment of its life."""
        kind = EVENTS.get(moment)
        if kind is not None:
            await eventually(lambda: self._said(kind), f"the training is {moment}", LIMIT_S)

    async def ended(self) -> bool:
        """Whether it has its end: refused, failed, rejected, or its release over. One never accepted is over too."""
        if not await self._said(e.TrainingAccepted):
            return self._asking is None or self._asking.done()
        if await self._said(e.TrainingFailed) or await self._said(e.ModelRejected):
            return True
        ends = (e.ReleasePromoted, e.ReleaseRolledBack, e.ReleaseSuperseded)
        return any([await self._said(kind) for kind in ends])

    async def give_up_asking(self) -> None:
        """The client goes on asking until it is accepted; only a client that could not even connect asks again."""
        if self._asking is not None and self._asking.done() and not self._request_id:
            await self.ask()

    async def _said(self, kind: type[e.Event]) -> bool:
        payloads = [event.payload for event in self._seen.events()]
        if any(isinstance(p, kind) and getattr(p, "request_id", None) == self._request_id for p in payloads):
            return True
        made = {p.version for p in payloads if isinstance(p, e.TrainingCompleted) and p.request_id == self._request_id}
        return any(isinstance(p, kind) and getattr(p, "version", None) in made for p in payloads)
