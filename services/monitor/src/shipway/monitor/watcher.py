"""The reconciler of monitoring: adds what batches brought to windows, and judges the windows that are over.

Restart-safe: what is counted and how far it is judged is in PostgreSQL, and changes in one transaction with what was
found. Several monitors share the work by the row that says how far a model is judged.
"""

import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shipway.contract.spec import ModelSpec, Monitoring, recorded_spec
from shipway.monitor import (
    alerting,
    alerts,
    combinationstore,
    combinationwatch,
    findings,
    judgement,
    labelwatch,
    latencies,
    letters,
    metrics,
    naming,
    partsums,
    qualitywatch,
    retrainer,
    store,
    windows,
)
from shipway.monitor.summary import Summary
from shipway.monitor.watermark import Look, Watermark, advance
from shipway.runtime.consumer import Progress
from shipway.runtime.database import Database, Transaction

USUAL_WIDTH = Monitoring().window
DAYS_BEFORE, DAY = 7, timedelta(days=1)
AT_ONCE = 50  # windows of a model a step
LONGEST_BEHIND = 500  # windows; a model that was not watched for longer is taken up from there
KEEP, KEEP_ALERTS = timedelta(days=60), timedelta(days=400)
SWEEP_EVERY_S = 600.0


class Watcher:
    """Steps over windows; ``step`` is made for a Reconciler. ``progress`` says how far the log is handled."""

    def __init__(
        self,
        database: Database,
        source: str,
        progress: Callable[[], Awaitable[Mapping[int, Progress]]],
    ) -> None:
        self._database = database
        self._source = source
        self._progress = progress
        self._mark = Watermark()
        self._swept_at = -math.inf

    async def step(self) -> bool:
        """One look at everything.

        Raises:
            Transient: the broker, or the database, is away.
        """
        async with self._database.begin() as tx:
            specs = {row.name: recorded_spec(row.spec) for row in await store.declared_models(tx)}
        # The look first: what is handled by then is in the parts.
        ends = await self._progress()
        look = Look(datetime.now(UTC), {p: at.end for p, at in ends.items()})
        self._mark = advance(self._mark, look, {p: at.committed for p, at in ends.items()})
        await self._fold(specs)
        more = False
        for name, spec in specs.items():
            if self._mark.counted_to is not None:
                async with self._database.begin() as tx:
                    more |= await self._judge(tx, name, spec, self._mark.counted_to - spec.monitoring.lateness)
        if time.monotonic() >= self._swept_at + SWEEP_EVERY_S:
            async with self._database.begin() as tx:
                await windows.forget_before(tx, datetime.now(UTC) - KEEP)
                await latencies.forget_before(tx, datetime.now(UTC))
                await findings.forget_before(tx, datetime.now(UTC) - KEEP)
                await partsums.forget_before(tx, datetime.now(UTC) - KEEP_ALERTS)
                await alerts.forget_before(tx, datetime.now(UTC) - KEEP_ALERTS)
                await retrainer.forget_before(tx, datetime.now(UTC) - KEEP_ALERTS)
                await store.forget_before(tx, datetime.now(UTC))
                await letters.forget_before(tx, datetime.now(UTC) - letters.KEEP)
                for name, spec in specs.items():
                    await combinationstore.forget(tx, name, spec, datetime.now(UTC).date())
            self._swept_at = time.monotonic()
        return more

    async def _fold(self, specs: Mapping[str, ModelSpec]) -> None:
        while True:
            async with self._database.begin() as tx:
                if not await windows.fold(tx, specs, USUAL_WIDTH):
                    return

    async def _judge(self, tx: Transaction, model: str, spec: ModelSpec, until: datetime) -> bool:
        """Judges a model's windows that end by then; True where there are more."""
        width = spec.monitoring.window
        at = await windows.claim(tx, model, width)
        if at is None:
            return False
        begin = max(at.to, windows.begin_of(until - LONGEST_BEHIND * width, width))
        for _ in range(AT_ONCE):
            if begin + width > until:
                break
            await self._judge_window(tx, model, spec, begin, begin + width)
            begin += width
            metrics.WINDOWS_JUDGED.inc()
        await windows.judged(tx, model, begin)
        more = await combinationwatch.step(tx, self._source, model, spec, until)
        return more or begin + width <= until

    async def _judge_window(self, tx: Transaction, model: str, spec: ModelSpec, begin: datetime, end: datetime) -> None:
        width, limits = end - begin, judgement.limits_of(spec)
        seen = await windows.between(tx, model, width, begin, end)
        days = [begin - timedelta(days=n) for n in range(1, DAYS_BEFORE + 1)]
        before = await windows.requests_at(tx, model, width, days)
        bins = {version: of for version in seen if (of := await windows.bins_of(tx, model, version)) is not None}
        found = judgement.window(seen, before, bins, limits)
        drifting = (end - windows.EPOCH) % spec.monitoring.drift_window == timedelta(0)
        if drifting:
            found += await self._drifts(tx, model, spec, end)
        day_end = windows.begin_of(end, DAY)
        daily = day_end > windows.begin_of(begin, DAY)
        if daily:
            found += await labelwatch.found(tx, model, spec, day_end)
        said = {(one.version, one.kind, one.subject) for one in found}
        for key in await findings.alarms(tx, model) | await alerts.open_keys(tx, model):
            elsewhere = key[1] in alerting.BY_STATE | alerting.BY_RULE | {judgement.NEW_COMBINATIONS}
            due = daily if key[1] in judgement.BY_DAY else drifting or key[1] not in judgement.BY_DRIFT_WINDOW
            if key not in said and due and not elsewhere:
                found.append(judgement.silent(*key))
        await findings.keep(tx, model, begin, end, found)
        await alerts.follow(tx, self._source, model, found, alerts.rule_of(spec), end)

    async def _drifts(self, tx: Transaction, model: str, spec: ModelSpec, end: datetime) -> list[Any]:
        begin = end - spec.monitoring.drift_window
        seen, by_day = await self._days(tx, model, spec, begin, end)
        namings = await naming.namings(tx, model, [version for version in seen if version])
        found: list[judgement.Finding] = []
        for version, summary in sorted(seen.items()):
            bins = await windows.bins_of(tx, model, version)
            if bins is not None and version in namings:
                recent = await findings.drift_states(tx, model, version)
                hidden = namings[version].redacted
                rule, limits = judgement.rule_of(spec), judgement.limits_of(spec)
                days = [day[version] for day in by_day if version in day]
                found += judgement.drifts(version, summary, bins, rule, limits, hidden, recent, days)
                found += judgement.slice_drifts(version, summary, bins, rule, recent, days)
                found += await qualitywatch.found(tx, model, spec, version, summary, bins, end)
        return found

    async def _days(
        self, tx: Transaction, model: str, spec: ModelSpec, begin: datetime, end: datetime
    ) -> tuple[dict[int, Summary], list[dict[int, Summary]]]:
        """What a drift window has by version: as a whole, and day by day."""
        whole: defaultdict[int, Summary] = defaultdict(Summary)
        days = []
        while begin < end:
            until = min(begin + DAY, end)
            days.append(await windows.between(tx, model, spec.monitoring.window, begin, until))
            for version, summary in days[-1].items():
                whole[version].add(summary)
            begin = until
        return dict(whole), days
