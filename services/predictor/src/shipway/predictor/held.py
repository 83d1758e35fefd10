"""The versions of this instance: brings them in line with the desired state, step by step, and tells of each change."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

from shipway.bundle.trial import Trials
from shipway.contract.errors import Permanent, Transient
from shipway.contract.events import DesiredState, HeldVersion, LoadedVersion, Presence
from shipway.contract.latency import BUCKETS
from shipway.predictor.holding import Held, Key, Wanted, after_outage, idle, next_steps, unready
from shipway.predictor.loading import LoadedModel, library_versions, load
from shipway.predictor.settings import LimitSettings
from shipway.predictor.sources import Sources
from shipway.predictor.threads import loading_threads
from shipway.runtime import log, trace
from shipway.runtime.waiting import happens

T = TypeVar("T")
_log = log.get(__name__)
LOADS = Counter("shipway_predictor_loads_total", "Loads of versions, by how they ended.", ["outcome"])
LOAD_S = Histogram("shipway_predictor_load_seconds", "Seconds from the wish to a version that is ready.")
HELD = Gauge("shipway_predictor_versions_held", "Versions in memory.")


@dataclass
class Serving:
    """A version that answers, and what it answered since it was loaded."""

    model: str
    loaded: LoadedModel
    version: HeldVersion
    answered: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    compared: int = 0
    distance_sum: float = 0.0


@dataclass
class Versions:
    """Everything that the instance holds. ``changed`` is called when a load has ended and when a version goes; it
    publishes the presence.

    ``traced`` gives the trace that a model's desired state belongs to.
    """

    sources: Sources
    limits: LimitSettings
    trials: Trials
    desired: Mapping[str, DesiredState]
    changed: Callable[[], None]
    serving: dict[Key, Serving] = field(default_factory=dict)
    _held: dict[Key, Held] = field(default_factory=dict)
    _loads: set[asyncio.Task[None]] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: bool = False
    _threads: Executor = field(default_factory=loading_threads)
    bug: Callable[[BaseException], None] = lambda _bug: None
    traced: Callable[[str], str | None] = lambda _model: None

    def wake(self) -> None:
        """Says that the desired state may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Holds the instance to the desired state for ever."""
        try:
            while True:
                self._wake.clear()
                self._step()
                await happens(self._wake, 0.5)
        finally:
            for task in self._loads:
                task.cancel()
            await asyncio.gather(*self._loads, return_exceptions=True)
            self._threads.shutdown(wait=False, cancel_futures=True)

    def problems(self) -> list[str]:
        """Why the instance can't do its work."""
        wanted = self._wanted()
        return unready(wanted, self._held) or (idle(wanted, self._held) if self.sources.only else [])

    def of_model(self, model: str) -> list[Serving]:
        """A model's versions that answer here, the one that answers by default first: the champion, or the newest."""
        found = [serving for (name, _), serving in self.serving.items() if name == model]
        return sorted(found, key=lambda s: (s.version.role != "champion", -s.version.version))

    def presence(self, instance: str, url: str, started_at: datetime) -> Presence:
        """What the instance says of itself now."""
        versions = []
        for (model, number), have in sorted(self._held.items()):
            serving = self.serving.get((model, number))
            state = "loading" if have.state == "waiting" else have.state
            versions.append(
                LoadedVersion(
                    model=model,
                    version=number,
                    digest=have.digest,
                    state=state,
                    reason=have.reason,
                    answered=serving.answered if serving else 0,
                    errors=serving.errors if serving else 0,
                    latency=list(serving.latency) if serving else [],
                    compared=serving.compared if serving else 0,
                    distance_sum=serving.distance_sum if serving else 0.0,
                )
            )
        return Presence(
            instance=instance,
            url=url,
            started_at=started_at,
            library_versions=dict(library_versions()),
            generations={model: state.generation for model, state in self.desired.items()},
            versions=versions,
            only=self.sources.told,
        )

    def _wanted(self) -> dict[str, list[Wanted]]:
        return {
            model: [
                Wanted(model, v.version, v.digest, v.role) for v in state.versions if self.sources.can_hold(v.digest)
            ]
            for model, state in self.desired.items()
        }

    def _step(self) -> None:
        wanted = self._wanted()
        self._tell(nothing=not any(wanted.values()))
        steps = next_steps(wanted, self._held, time.monotonic(), self.limits.parallel_loads - len(self._loads))
        for wish in steps.load:
            previous = self._held.get(wish.key)
            tries = previous.tries if previous and previous.digest == wish.digest else 0
            self._held[wish.key] = Held(wish.digest, "loading", tries=tries)
            task = asyncio.create_task(self._load(wish))
            self._loads.add(task)
            task.add_done_callback(self._loaded)
        for key in steps.unload:
            self._unload(key)
        for key, serving in self.serving.items():  # role and log rules may change without a load
            serving.version = self._version(key) or serving.version
        if steps.unload:  # that a load has begun the next heartbeat says: nearly all are over before
            self.changed()

    def _tell(self, nothing: bool) -> None:
        """Says once that no version of the image is to be held (any more), and once that one is."""
        if self.sources.only and nothing != self._idle:
            self._idle = nothing
            if nothing:
                _log.warning("no version of this image is to be held", bundles=self.sources.told)
            else:
                _log.info("a version of this image is to be held", bundles=self.sources.told)

    def _version(self, key: Key) -> HeldVersion | None:
        state = self.desired.get(key[0])
        return next((v for v in state.versions if v.version == key[1]), None) if state else None

    async def _load(self, wish: Wanted) -> None:
        traceparent = self.traced(wish.model)
        name = "load" if traceparent else ""
        with trace.within(traceparent, name, model=wish.model, version=wish.version):
            await self._load_now(wish)
        self.changed()

    async def _load_now(self, wish: Wanted) -> None:
        begun = time.monotonic()
        try:
            loaded = await self._aside(partial(load, self.sources.of(wish.digest), wish.digest, self.trials))
        except Transient as err:
            self._held[wish.key] = after_outage(self._held[wish.key], str(err), time.monotonic())
            LOADS.labels("outage").inc()
        except Permanent as err:
            _log.error("version refused", model=wish.model, version=wish.version, reason=str(err))
            self._held[wish.key] = Held(wish.digest, "failed", str(err)[:1000])
            LOADS.labels("refused").inc()
        else:
            before = self.serving.get(wish.key)
            version = self._version(wish.key)
            if version is None:
                version = HeldVersion(version=wish.version, digest=wish.digest, role="standby", signature={})
            self.serving[wish.key] = Serving(wish.model, loaded, version)
            self._held[wish.key] = Held(wish.digest, "ready")
            if before is not None:
                await self._aside(before.loaded.scorer.close)
            LOADS.labels("ready").inc()
            LOAD_S.observe(time.monotonic() - begun)
            _log.info("version ready", model=wish.model, version=wish.version, seconds=time.monotonic() - begun)

    async def _aside(self, call: Callable[[], T]) -> T:
        """What a call gives, in a thread that gives way to those that answer."""
        with_context = partial(contextvars.copy_context().run, call)
        return await asyncio.get_running_loop().run_in_executor(self._threads, with_context)

    def _loaded(self, task: asyncio.Task[None]) -> None:
        self._loads.discard(task)
        HELD.set(len(self.serving))
        if not task.cancelled() and (bug := task.exception()) is not None:
            self.bug(bug)
        self._wake.set()

    def _unload(self, key: Key) -> None:
        del self._held[key]
        serving = self.serving.pop(key, None)
        if serving is not None:
            _log.info("version unloaded", model=key[0], version=key[1])
            closing = asyncio.create_task(self._aside(serving.loaded.scorer.close))
            self._loads.add(closing)
            closing.add_done_callback(self._loaded)
