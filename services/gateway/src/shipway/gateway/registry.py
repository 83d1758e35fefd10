"""The registry of predictor instances: what they say, how their probes go, and the routing table made of it.

Silence on Kafka takes nobody out: the broker may be away while the predictors serve. A failed connection does,
at once, and so do failed probes. If every instance fails its probes, they are kept as a last resort while they
still answer requests: a probe that is wrong must not take the whole service down.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import httpx
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from shipway.contract.errors import Permanent
from shipway.contract.events import DesiredState, Presence
from shipway.contract.topics import DESIRED_STATE, PRESENCE
from shipway.gateway.featuretable import FeatureTable
from shipway.gateway.routing import Instance, ModelRoutes, model_routes
from shipway.gateway.settings import ProbeSettings
from shipway.runtime import log
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.tableview import TableView
from shipway.runtime.waiting import happens

_log = log.get(__name__)
EJECTIONS = Metric("shipway_gateway_ejections_total", "Instances taken out, by why.", ["why"])
_WAITING = 1000
ROUTABLE = Gauge("shipway_gateway_instances_routable", "Instances that pass their probes.", multiprocess_mode="livemin")


@dataclass
class Health:
    """How an instance does. It starts out: only a passed probe lets it in. ``heard`` is its last sign of life."""

    url: str
    heard: float
    well: bool = False
    failures: int = 0
    last_passed: float = 0.0
    next_probe: float = 0.0
    why: str = "not probed yet"
    ejections: int = 0


class Registry:
    """Instances and routes. ``routes`` is replaced as a whole, so that a request sees one consistent table."""

    def __init__(self, kafka: KafkaSettings, probes: ProbeSettings, features: FeatureTable) -> None:
        self._probes = probes
        self.features = features
        features.on_read = lambda: self._recompute(list(self.desired.values))
        self.desired = TableView(
            kafka, DESIRED_STATE, DesiredState, accept=_newer, on_change=lambda model: self._recompute([model])
        )
        self.presence = TableView(kafka, PRESENCE, Presence, accept=_honest, on_change=self._heard)
        self._known: dict[str, Presence] = {}
        self.health: dict[str, Health] = {}
        self.busy: Counter[str] = Counter()
        self.routes: dict[str, ModelRoutes] = {}
        # Of each model the newest generation by which the table sends to all that are to be sent to.
        self.routed: dict[str, int] = {}
        self.on_routed: Callable[[], None] = lambda: None
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._waiting: Counter[str] = Counter()
        self.on_out: Callable[[Instance, str], None] = lambda _instance, _why: None

    async def run_probes(self) -> None:
        """Probes for ever, each instance when it is due."""
        async with (
            httpx.AsyncClient(timeout=self._probes.timeout_s, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                self._wake.clear()
                now = time.monotonic()
                for name, health in self.health.items():
                    if health.next_probe <= now:
                        health.next_probe = math.inf  # under way; one that hangs holds up nobody else's
                        group.create_task(self._probe(client, name, health))
                waits = [health.next_probe - now for health in self.health.values()]
                await happens(self._wake, min([*waits, self._probes.every_s]))

    def eject(self, name: str, why: str) -> None:
        """Takes an instance out because a request to it failed; it is probed back in."""
        health = self.health.get(name)
        if health is not None and health.well:
            health.well, health.failures, health.why = False, self._probes.failures, why
            health.ejections += 1
            health.next_probe = 0.0
            EJECTIONS.labels("connection").inc()
            self._recompute(_models_of(self._known.get(name)))
            self._wake.set()
            self._is_out(name, why)

    async def changes(self, model: str, until: float) -> bool:
        """Waits for another table on a model's behalf, until a time (of ``time.monotonic``); False when none came.

        So a request that comes while an instance starts again is answered, only later. Each model has places of its
        own: one that nobody can answer for leaves the others theirs.
        """
        if self._waiting[model] >= _WAITING:
            return False
        self._waiting[model] += 1
        try:
            return await happens(self._changed, until - time.monotonic())
        finally:
            self._waiting[model] -= 1
            if not self._waiting[model]:
                del self._waiting[model]  # names that clients make up must not fill the memory

    @property
    def read(self) -> bool:
        """Whether desired state and presence were read once, to their ends."""
        return self.desired.caught_up.is_set() and self.presence.caught_up.is_set()

    def presences(self) -> dict[str, Presence]:
        """What the known instances last said."""
        return dict(self._known)

    def _heard(self, name: str) -> None:
        said, before = self.presence.values.get(name), self._known.get(name)
        now = time.monotonic()
        if said is None:  # goodbye
            self._known.pop(name, None)
            self.health.pop(name, None)
        else:
            self._known[name] = said
            health = self.health.get(name)
            if health is None or health.url != said.url:
                self.health[name] = Health(said.url, now)
            else:
                health.heard = now
                if not health.well:
                    health.next_probe = 0.0
            self._wake.set()
        if said is None or before is None or _essence(said) != _essence(before):
            self._recompute(_models_of(said, before))

    async def _probe(self, client: httpx.AsyncClient, name: str, health: Health) -> None:
        ejections = health.ejections
        try:
            response = await client.get(f"{health.url}/readyz")
            failed = None if response.status_code == 200 else f"/readyz answers {response.status_code}"
        except httpx.HTTPError as err:
            failed = f"/readyz: {err or type(err).__name__}"
        if self.health.get(name) is not health:
            return  # it said goodbye, or moved, meanwhile
        if failed is None and health.ejections != ejections:
            health.next_probe = 0.0  # asked before it was taken out: what it said then says nothing of now
            self._wake.set()
            return
        now = time.monotonic()
        was = health.well
        if failed is None:
            health.well, health.failures, health.why = True, 0, ""
            health.last_passed = health.heard = now
        else:
            health.failures += 1
            health.why = failed
            if was and health.failures >= self._probes.failures:
                health.well = False
                EJECTIONS.labels("probe").inc()
                self._is_out(name, failed)
        health.next_probe = now + (self._probes.every_s if health.well else self._probes.every_out_s)
        self._wake.set()
        said = self._known.get(name)
        forgotten = not health.well and now - health.heard > self._probes.forget_s
        if forgotten:
            self._known.pop(name, None)
            self.health.pop(name, None)
        if forgotten or health.well != was:
            self._recompute(_models_of(said))

    def _is_out(self, name: str, why: str) -> None:
        _log.warning("instance out", instance=name, why=why)
        if (said := self._known.get(name)) is not None:
            self.on_out(Instance(name, said.url, said.rows), why)

    def holds(self, address: str, model: str, version: int) -> bool:
        """Whether the table has the version on the instance whose rows protocol is at this address."""
        found = self.routes.get(model)
        routes = found.routes if found is not None else ()
        return any(r.version == version and any(i.rows == address for i in r.instances) for r in routes)

    def held(self, model: str) -> list[int]:
        """The versions of a model that are to be held, routable or not."""
        state = self.desired.values.get(model)
        return [v.version for v in state.versions] if state is not None else []

    def well(self, name: str) -> bool:
        """Whether an instance passes its probes."""
        health = self.health.get(name)
        return health is not None and health.well

    def _was_well(self, name: str) -> bool:
        health = self.health.get(name)
        return health is not None and health.last_passed > 0

    def _note_routed(self, models: Iterable[str]) -> None:
        whole = {m: found.generation for m in models if (found := self.routes.get(m)) is not None and found.whole}
        news = {model: number for model, number in whole.items() if self.routed.get(model, -1) < number}
        if news:
            self.routed |= news
            self.on_routed()

    def _recompute(self, models: Collection[str]) -> None:
        """A new table, in which the routes of these models are made anew."""
        routes = dict(self.routes)
        presences = list(self._known.values())
        for model in models:
            state = self.desired.values.get(model)
            if state is None:
                routes.pop(model, None)
                self.routed.pop(model, None)
                continue
            if any(version.signature.get("lookups") for version in state.versions):
                self.features.wanted.set()
            looks_up = self.features.ready
            try:
                before = routes.get(model)
                found = model_routes(state, presences, self.well, before, looks_up)
                if not found.routes:
                    found = model_routes(state, presences, self._was_well, before, looks_up)
                routes[model] = found
            except Permanent as err:
                _log.error("desired state can't be routed; the last one stays", model=model, reason=str(err))
        self.routes = routes
        self._note_routed(models)
        self._changed.set()
        self._changed = asyncio.Event()
        ROUTABLE.set(sum(health.well for health in self.health.values()))


def _newer(key: str, new: DesiredState, old: DesiredState | None) -> bool:
    return key == new.model and (old is None or new.generation >= old.generation)


def _honest(key: str, new: Presence, _old: Presence | None) -> bool:
    return key == new.instance and new.url.startswith(("http://", "https://"))


def _models_of(*presences: Presence | None) -> set[str]:
    """The models whose routes these may be in."""
    return {version.model for said in presences if said is not None for version in said.versions}


def _essence(presence: Presence) -> tuple[object, ...]:
    """What of a presence matters to routing; the rest are counts."""
    return presence.url, presence.rows, [(v.model, v.version, v.digest, v.state) for v in presence.versions]
