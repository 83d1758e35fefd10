"""The reconciler of service levels: ends phases by what instances say, measures every level, and acts on it.

Level-triggered: alerts, budgets that are spent, and requests that are asked for again all follow from what is on
record, so several monitors may look, and a look that was missed costs time and nothing else.
"""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from shipway.contract import events as e
from shipway.contract.spec import ModelSpec, recorded_spec
from shipway.monitor import alerts, conditions, ledger, letters, measuring, metrics, sightings, spending, store
from shipway.monitor.alerting import BY_STATE, EVERY_MODEL, Rule
from shipway.monitor.judgement import Finding
from shipway.monitor.levels import phase_targets
from shipway.monitor.measuring import Measured
from shipway.monitor.phases import seen_by_all
from shipway.runtime import log
from shipway.runtime.database import Transaction
from shipway.runtime.parts import Parts
from shipway.runtime.tableview import TableView

_log = log.get(__name__)
P = TypeVar("P", e.Presence, e.GatewayPresence)
KEEP = timedelta(days=100)
SWEEP_EVERY_S = 600.0


class Accountant:
    """Steps over models; ``step`` is made for a Reconciler."""

    def __init__(
        self,
        parts: Parts,
        presence: TableView[e.Presence],
        gateways: TableView[e.GatewayPresence],
        silent_after_s: float,
        beat_s: float,
    ) -> None:
        self._parts = parts
        self._presence = presence
        self._gateways = gateways
        self._silent_after = timedelta(seconds=silent_after_s)
        self._beat = timedelta(seconds=beat_s)
        self._swept_at = -math.inf

    async def step(self) -> bool:
        """One look at everything.

        Raises:
            Transient: the database is away.
        """
        now = datetime.now(UTC)
        await self._settle(now)
        async with self._parts.database.begin() as tx:
            specs = {row.name: recorded_spec(row.spec) for row in await store.declared_models(tx)}
        told = 0
        for model, spec in specs.items():
            async with self._parts.database.begin() as tx:
                if await spending.claim(tx, model, now, self._beat):
                    told += await self._look(tx, model, spec, now)
        told += await self._look_at_all(now)
        if told:
            self._parts.relay.wake()
        if time.monotonic() >= self._swept_at + SWEEP_EVERY_S:
            async with self._parts.database.begin() as tx:
                await ledger.forget_before(tx, now - KEEP)
                await sightings.forget_before(tx, now - sightings.KEEP)
            self._swept_at = time.monotonic()
        return False

    async def _settle(self, now: datetime) -> None:
        """Ends phases that end with what instances say, or with what is known of versions."""
        async with self._parts.database.begin() as tx:
            await ledger.settle_serving(tx)
            if _blind(self._presence):
                return  # what is not seen must not be taken for gone
            live = _live(self._presence, now - self._silent_after)
            routing = _live(self._gateways, now - self._silent_after)
            await sightings.note_starts(tx, self._presence.values)
            for run in await ledger.open_runs(tx, ("seen", "retired", "deferred")):
                if run.phase == "seen":
                    held, routed = [said.generations for said in live], [said.routed for said in routing]
                    heard = not _blind(self._gateways) and seen_by_all(run.model, run.generation or 0, held, routed)
                else:
                    version = int(run.subject)
                    heard = not any(v.model == run.model and v.version == version for p in live for v in p.versions)
                if heard:
                    await ledger.end(tx, run, now)

    async def _look(self, tx: Transaction, model: str, spec: ModelSpec, now: datetime) -> int:
        levels = spec.service_levels
        measured = await measuring.measure(tx, model, spec, now)
        overdue = await measuring.overdue(tx, model, spec, now)
        found = conditions.late(overdue, phase_targets(spec), now)
        found += conditions.of_events(await measuring.newest(tx, model))
        found += conditions.of_champion(await measuring.degraded_champion(tx, model), now)
        for one in measured:
            found += conditions.of_budget(one.level, one.budget, one.burns, levels.budget_window)
        told = await self._follow(tx, model, found, alerts.rule_of(spec), now)
        told += await spending.tell(tx, self._parts.source, model, spec, measured, now)
        if levels.on_overdue == "retry":
            told += await spending.ask_again(tx, self._parts.source, model, levels.accepted_within, now)
        _show(model, measured, len(overdue))
        return told

    async def _look_at_all(self, now: datetime) -> int:
        """What no model is to blame for: instances that start again and again, messages that were refused."""
        async with self._parts.database.begin() as tx:
            if not await spending.claim(tx, EVERY_MODEL, now, self._beat):
                return 0
            found = conditions.of_letters(await letters.counts_since(tx, now - conditions.LETTERS_WITHIN))
            found += conditions.of_starts(await sightings.starts_since(tx, now - conditions.RESTARTS_WITHIN))
            return await self._follow(tx, EVERY_MODEL, found, Rule({}), now)

    async def _follow(self, tx: Transaction, model: str, found: list[Finding], rule: Rule, now: datetime) -> int:
        said = {(one.version, one.kind, one.subject) for one in found}
        ended = [key for key in await alerts.open_keys(tx, model) if key[1] in BY_STATE and key not in said]
        found = found + [conditions.over(*key) for key in ended]
        return await alerts.follow(
            tx, self._parts.source, model, found, Rule(rule.severity, 1, rule.update_factor), now
        )


def _blind(table: TableView[Any]) -> bool:
    """Whether what the table does not have may be there all the same."""
    return not table.caught_up.is_set() or table.problem is not None


def _live(table: TableView[P], since: datetime) -> list[P]:
    """What those say that were heard of since then."""
    return [said for name, said in table.values.items() if table.envelopes[name].time >= since]


def _show(model: str, measured: list[Measured], overdue: int) -> None:
    metrics.OVERDUE.labels(model).set(overdue)
    for one in measured:
        metrics.BUDGET_LEFT.labels(model, one.level.name).set(one.budget.left)
