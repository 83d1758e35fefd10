"""A model's service levels as they are: each with its counts, budget, pace, and what is overdue. In a transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shipway.contract.events import replacement_request
from shipway.contract.spec import ModelSpec
from shipway.monitor import ledger
from shipway.monitor.budgets import Budget, Burn, Counts, Pace, budget, burn_rate, burning, windows_of
from shipway.monitor.conditions import Degraded, Newest
from shipway.monitor.levels import Level, levels_of, phase_targets
from shipway.monitor.phases import Overdue
from shipway.monitor.reading import IN_RELEASE
from shipway.monitor.tables import models, requests, versions
from shipway.runtime.database import Transaction

_ENDED = ("rejected", "rolled_back", "champion", "last_good", "standby", "superseded", "retired")


@dataclass(frozen=True)
class Measured:
    """A level with what was counted. ``median_s`` and ``p95_s``: how long the runs of a phase took that ended."""

    level: Level
    budget: Budget
    burns: dict[Pace, Burn | None]
    rates: dict[str, float]
    median_s: float | None = None
    p95_s: float | None = None


async def measure(tx: Transaction, model: str, spec: ModelSpec, now: datetime) -> list[Measured]:
    """Every level of a model, by its newest declaration."""
    window = spec.service_levels.budget_window
    widths = windows_of(window)
    counted = await ledger.counted(tx, model, now, widths)
    phases = await ledger.runs(tx, model, phase_targets(spec), now, window)
    found = []
    for level in levels_of(spec):
        if level.counted:
            counts = counted.get(level.name, dict.fromkeys(widths, Counts()))
            burns = burning(counts, level.objective, window, level.least)
            rates = {f"{w.total_seconds():.0f}": burn_rate(counts[w], level.objective) for w in sorted(set(widths))}
            found.append(Measured(level, budget(counts[window], level.objective), burns, rates))
        else:
            row: Any = phases.get(level.name)
            counts_of_runs = Counts(row.good, row.bad) if row is not None else Counts()
            took = (row.median_s, row.p95_s) if row is not None else (None, None)
            found.append(Measured(level, budget(counts_of_runs, level.objective), {}, {}, *map(_number, took)))
    return found


async def overdue(tx: Transaction, model: str, spec: ModelSpec, now: datetime) -> list[Overdue]:
    """What has taken too long and goes on."""
    return await ledger.overdue(tx, model, phase_targets(spec), now)


async def newest(tx: Transaction, model: str) -> Newest:
    """What the newest training and the newest version came to."""
    ended = requests.c.state.in_(["failed", "trained"])
    of_request = sa.select(requests).where(requests.c.model == model, ended).order_by(requests.c.changed_at.desc())
    request = (await tx.execute(of_request.limit(1))).one_or_none()
    judged = versions.c.state.in_((*IN_RELEASE, *_ENDED))
    of_version = sa.select(versions).where(versions.c.model == model, judged).order_by(versions.c.version.desc())
    version = (await tx.execute(of_version.limit(1))).one_or_none()
    said = (request.request_id, request.state, request.message) if request is not None else (None, None, None)
    known = (version.version, version.state, version.reason) if version is not None else (None, None, None)
    return Newest(*said, *known)


async def degraded_champion(tx: Transaction, model: str) -> Degraded | None:
    """The champion where it broke its service level; None where it did not, or there is none."""
    champion = versions.join(models, (models.c.name == versions.c.model) & (models.c.champion == versions.c.version))
    wanted = sa.select(versions.c.version, versions.c.degraded_at, models.c.last_good).select_from(champion)
    found = await tx.execute(wanted.where(models.c.name == model, versions.c.degraded_at.is_not(None)))
    row = found.one_or_none()
    if row is None:
        return None
    this = requests.c.request_id == replacement_request(model, row.version)
    asked = (await tx.execute(sa.select(requests.c.reason).where(requests.c.model == model, this))).scalar_one_or_none()
    return Degraded(row.version, row.degraded_at, row.last_good, asked)


def _number(value: Any) -> float | None:
    return float(value) if value is not None else None
