"""The registry of predictor instances: what they say, how their probes go, and the routing table made of it.

Silence on Kafka takes nobody out: the broker may be away while the predictors serve. A failed connection does,
at once, and so do failed probes. If every instance fails its probes, they are kept as a last resort while they
still answer requests: a probe that is wrong must not take the whole service down.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import httpx
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from shipway.contract.errors import Permanent
from shipway.contract.events import DesiredState, Presence
from shipway.contract.topics import DESIRED_STATE, PRESENCE
from shipway.gateway.routing import ModelRoutes, model_routes
from shipway.gateway.settings import ProbeSettings
from shipway.runtime import log
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.tableview import TableView

_log = log.get(__name__)
EJECTIONS = Metric("shipway_gateway_ejections_total", "Instances taken out, by why.", ["why"])
ROUTABLE = Gauge("shipway_gateway_instances_routable", "Instances that pass their probes.")


@dataclass
class Health:
    """How an instance does. It starts out: only a passed probe lets it in."""

    url: str
    well: bool = False
    failures: int = 0
    last_passed: float = 0.0
    next_probe: float = 0.0
    why: str = "not probed yet"


class Registry:
    """Instances and routes. ``routes`` is replaced as a whole, so that a request sees one consistent table."""

    def __init__(self, kafka: KafkaSettings, probes: ProbeSettings) -> None:
        self._probes = probes
        self.desired = TableView(
            kafka, DESIRED_STATE, DesiredState, accept=_newer, on_change=lambda _: self._recompute()
        )
        self.presence = TableView(kafka, PRESENCE, Presence, accept=_honest, on_change=self._heard)
        self._known: dict[str, Presence] = {}
        self.health: dict[str, Health] = {}
        self.busy: Counter[str] = Counter()
        self.routes: dict[str, ModelRoutes] = {}
        self._wake = asyncio.Event()

    async def run_probes(self) -> None:
        """Probes for ever, each instance when it is due."""
        async with httpx.AsyncClient(timeout=self._probes.timeout_s) as client:
            while True:
                self._wake.clear()
                now = time.monotonic()
                due = [name for name, health in self.health.items() if health.next_probe <= now]
                if due:
                    await asyncio.gather(*(self._probe(client, name) for name in due))
                    continue
                waits = [health.next_probe - now for health in self.health.values()]
                try:
                    await asyncio.wait_for(self._wake.wait(), min([*waits, self._probes.every_s]))
                except TimeoutError:
                    continue

    def eject(self, name: str, why: str) -> None:
        """Takes an instance out because a request to it failed; it is probed back in."""
        health = self.health.get(name)
        if health is not None and health.well:
            health.well, health.failures, health.why = False, self._probes.failures, why
            health.next_probe = time.monotonic() + self._probes.every_out_s
            EJECTIONS.labels("connection").inc()
            _log.warning("instance out", instance=name, why=why)
            self._recompute()
            self._wake.set()

    def presences(self) -> dict[str, Presence]:
        """What the known instances last said."""
        return dict(self._known)

    def _heard(self, name: str) -> None:
        said = self.presence.values.get(name)
        if said is None:  # goodbye
            self._known.pop(name, None)
            self.health.pop(name, None)
        else:
            self._known[name] = said
            health = self.health.get(name)
            if health is None or health.url != said.url:
                self.health[name] = Health(said.url)
            elif not health.well:
                health.next_probe = 0.0
            self._wake.set()
        self._recompute()

    async def _probe(self, client: httpx.AsyncClient, name: str) -> None:
        health = self.health[name]
        try:
            response = await client.get(f"{health.url}/readyz")
            failed = None if response.status_code == 200 else f"/readyz answers {response.status_code}"
        except httpx.HTTPError as err:
            failed = f"/readyz: {err or type(err).__name__}"
        now = time.monotonic()
        was = health.well
        if failed is None:
            health.well, health.failures, health.why, health.last_passed = True, 0, "", now
        else:
            health.failures += 1
            health.why = failed
            if was and health.failures >= self._probes.failures:
                health.well = False
                EJECTIONS.labels("probe").inc()
                _log.warning("instance out", instance=name, why=failed)
        health.next_probe = now + (self._probes.every_s if health.well else self._probes.every_out_s)
        if not health.well and now - max(health.last_passed, 0.0) > self._probes.forget_s and health.last_passed:
            self._known.pop(name, None)
            self.health.pop(name, None)
        if health.well != was:
            self._recompute()

    def _well(self, name: str) -> bool:
        health = self.health.get(name)
        return health is not None and health.well

    def _recompute(self) -> None:
        routes: dict[str, ModelRoutes] = {}
        presences = list(self._known.values())
        for model, state in self.desired.values.items():
            try:
                routes[model] = model_routes(state, presences, self._well)
            except Permanent as err:
                _log.error("desired state can't be routed; the last one stays", model=model, reason=str(err))
                if model in self.routes:
                    routes[model] = self.routes[model]
        self.routes = routes
        ROUTABLE.set(sum(health.well for health in self.health.values()))


def _newer(key: str, new: DesiredState, old: DesiredState | None) -> bool:
    return key == new.model and (old is None or new.generation >= old.generation)


def _honest(key: str, new: Presence, _old: Presence | None) -> bool:
    return key == new.instance and new.url.startswith(("http://", "https://"))
