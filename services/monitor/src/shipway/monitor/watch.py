"""The reconciler: looks at every declared model, and says which version failed its level and which is to go."""

from datetime import UTC, datetime
from typing import Any

from shipway.contract.events import Event, ModelDegraded, ModelRetired
from shipway.contract.spec import ModelSpec, recorded_spec
from shipway.monitor import findings, store
from shipway.monitor.degradation import Level, degraded
from shipway.monitor.retirement import Policy, to_retire
from shipway.monitor.worsening import QUALITY
from shipway.runtime import log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import emit
from shipway.runtime.parts import Parts

_log = log.get(__name__)


class Watch:
    """Steps over the store; ``step`` is made for a Reconciler."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def step(self) -> bool:
        """One look at everything."""
        now = datetime.now(UTC)
        async with self._parts.database.begin() as tx:
            found = await store.declared_models(tx)
        for model in found:
            async with self._parts.database.begin() as tx:
                said = await self._judge(tx, model, now)
            if said:
                self._parts.relay.wake()
        return False

    async def _judge(self, tx: Transaction, model: Any, now: datetime) -> bool:
        spec = recorded_spec(model.spec)
        said = False
        if model.champion is not None:
            told = await self._failed(tx, model, spec, now)
            if told is not None and await store.mark(tx, model.name, model.champion, "degraded_at", now):
                _log.warning("champion degraded", model=model.name, version=model.champion, reason=told.reason)
                said = True
                await self._say(tx, told, model.champion)
        rule = spec.retirement
        policy = Policy(rule.max_age, rule.unused_for, rule.when_worse)
        for retire in to_retire(await store.served_versions(tx, model.name), policy, now):
            if await store.mark(tx, model.name, retire.version, "retirement_asked_at", now):
                _log.info("version retired", model=model.name, version=retire.version, reason=retire.reason)
                said = True
                gone = ModelRetired(
                    model=model.name, version=retire.version, policy=retire.policy, reason=retire.reason
                )
                await self._say(tx, gone, retire.version)
        return said

    async def _failed(self, tx: Transaction, model: Any, spec: ModelSpec, now: datetime) -> ModelDegraded | None:
        """Why the champion is to be replaced: by its errors, or by its labels where the model file wants that."""
        levels = spec.service_levels
        level = Level(levels.max_error_share, levels.error_window, levels.min_requests)
        counts = await store.outcomes_since(tx, model.name, model.champion, now - level.window)
        champion: dict[str, Any] = {"model": model.name, "version": model.champion}
        bad = degraded(counts.get("answered", 0), counts.get("failed", 0), level)
        if bad is not None:
            return ModelDegraded(**champion, figure="error_share", value=bad.value, limit=bad.limit, reason=bad.reason)
        if spec.monitoring.on_quality == "degrade":
            poor = await findings.too_bad(tx, model.name, model.champion, QUALITY)
            if poor is not None and poor.figure is not None and poor.limit is not None:
                value, limit = poor.figure, poor.limit
                return ModelDegraded(**champion, figure=poor.subject, value=value, limit=limit, reason=poor.reason)
        return None

    async def _say(self, tx: Transaction, event: Event, version: int) -> None:
        """In the trace of the request that the version came from."""
        with trace.within(await store.traceparent_of(tx, event.model, version), "watch", version=version):
            await emit(tx, self._parts.source, event)
