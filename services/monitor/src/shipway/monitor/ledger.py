"""What service levels are measured by, in PostgreSQL: runs of phases, counts of requests. Within a transaction."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert

from shipway.monitor.budgets import Counts
from shipway.monitor.phases import Mark, Overdue, Phase
from shipway.monitor.tables import level_counts, phases, versions
from shipway.runtime.database import Transaction

SLOT = timedelta(minutes=5)
OVERDUE_SHOWN = 20
_OPEN = phases.c.ended_at.is_(None) & (phases.c.outcome == "")
_LAST = {"rejected", "rolled_back", "superseded", "retired"}


async def mark(tx: Transaction, model: str, found: Iterable[Mark], at: datetime) -> None:
    """Leaves an event's marks; of several of a kind the earliest holds."""
    rows = [
        {
            "model": model,
            "phase": one.phase,
            "subject": one.subject,
            "begun_at": at if one.what == "begun" else None,
            "ended_at": at if one.what == "ended" else None,
            "outcome": one.what if one.what not in ("begun", "ended") else "",
            "generation": one.generation,
        }
        for one in found
    ]
    if rows:
        await tx.execute(_MARK, rows)


def _mark() -> Insert:
    statement = insert(phases)
    new, old = statement.excluded, phases.c
    kept = {
        "begun_at": sa.func.least(old.begun_at, new.begun_at),
        "ended_at": sa.func.least(old.ended_at, new.ended_at),
        "outcome": sa.case((sa.or_(new.outcome == "", old.outcome == "never"), old.outcome), else_=new.outcome),
        "generation": sa.func.greatest(old.generation, new.generation),
    }
    return statement.on_conflict_do_update(index_elements=["model", "phase", "subject"], set_=kept)


_MARK = _mark()  # made once: making it takes as long as the database takes to carry it out


async def count(tx: Transaction, found: Mapping[tuple[str, str, datetime], Counts]) -> None:
    """Adds counts by model, level and slot."""
    rows = [
        {"model": model, "level": level, "slot": slot, "good": counts.good, "bad": counts.bad}
        for (model, level, slot), counts in sorted(found.items(), key=lambda item: item[0])
    ]
    if rows:
        statement = insert(level_counts)
        added = {name: level_counts.c[name] + statement.excluded[name] for name in ("good", "bad")}
        await tx.execute(
            statement.on_conflict_do_update(index_elements=["model", "level", "slot"], set_=added),
            rows,
        )


async def settle_serving(tx: Transaction) -> None:
    """Ends what is known to have ended by the states of versions: a request is served with its version's promotion."""
    this = (versions.c.model == phases.c.model) & (versions.c.request_id == phases.c.subject)
    open_ = _OPEN & (phases.c.phase == "serving") & this
    promoted = open_ & versions.c.promoted_at.is_not(None)
    await tx.execute(sa.update(phases).where(promoted).values(ended_at=versions.c.promoted_at))
    gone = open_ & versions.c.promoted_at.is_(None) & versions.c.state.in_(_LAST)
    await tx.execute(sa.update(phases).where(gone).values(outcome="void"))


async def open_runs(tx: Transaction, names: Iterable[Phase]) -> list[Any]:
    """The runs of these phases that have not ended, of every model: model, phase, subject, generation."""
    # A retirement that was put off still ends, and with it the putting off.
    these = phases.c.phase.in_(list(names)) & _OPEN & phases.c.begun_at.is_not(None)
    return list((await tx.execute(sa.select(phases).where(these))).all())


async def end(tx: Transaction, run: Any, at: datetime) -> None:
    """Ends a run."""
    this = (phases.c.model == run.model) & (phases.c.phase == run.phase) & (phases.c.subject == run.subject)
    await tx.execute(sa.update(phases).where(this & phases.c.ended_at.is_(None)).values(ended_at=at))


async def runs(
    tx: Transaction, model: str, targets: Mapping[Phase, timedelta], now: datetime, within: timedelta
) -> dict[str, Any]:
    """Of each phase how often its target was kept and missed, by what became known in a time up to now; and how long
    the runs that ended took (seconds: median, 95th percentile). One that failed missed it, and one that is overdue.
    """
    target = _target(targets)
    took = phases.c.ended_at - phases.c.begun_at
    late = sa.func.coalesce(phases.c.ended_at, now) - phases.c.begun_at > target
    failed = phases.c.ended_at.is_(None) & (phases.c.outcome == "failed")
    known_at = sa.func.coalesce(phases.c.ended_at, phases.c.begun_at + target)
    seconds = sa.func.extract("epoch", took)
    statement = (
        sa.select(
            phases.c.phase,
            sa.func.count().filter(phases.c.ended_at.is_not(None) & ~late).label("good"),
            sa.func.count().filter(late | failed).label("bad"),
            sa.func.percentile_cont(0.5).within_group(seconds).label("median_s"),
            sa.func.percentile_cont(0.95).within_group(seconds).label("p95_s"),
        )
        .where(phases.c.model == model, phases.c.begun_at.is_not(None), phases.c.phase.in_(list(targets)))
        .where(
            sa.or_(phases.c.ended_at.is_not(None), phases.c.outcome.not_in(["void", "never"])), known_at >= now - within
        )
        .group_by(phases.c.phase)
    )
    return {row.phase: row for row in (await tx.execute(statement)).all()}


async def overdue(tx: Transaction, model: str, targets: Mapping[Phase, timedelta], now: datetime) -> list[Overdue]:
    """Runs that are over their target and go on, the oldest first, so many at most."""
    known = phases.c.phase.in_(list(targets)) & (phases.c.begun_at + _target(targets) < now)
    these = sa.select(phases).where(_OPEN, phases.c.model == model, known).order_by(phases.c.begun_at)
    found = (await tx.execute(these.limit(OVERDUE_SHOWN))).all()
    return [Overdue(row.phase, row.subject, row.begun_at) for row in found]


async def counted(
    tx: Transaction, model: str, now: datetime, windows: Iterable[timedelta]
) -> dict[str, dict[timedelta, Counts]]:
    """The counts of a model's levels, in each of these times up to now."""
    widths = sorted(set(windows))
    columns = []
    for i, width in enumerate(widths):
        inside = level_counts.c.slot > now - width - SLOT
        for name in ("good", "bad"):
            total = sa.func.sum(level_counts.c[name]).filter(inside)
            columns.append(sa.func.coalesce(total, 0).label(f"{name}_{i}"))
    these = (level_counts.c.model == model) & (level_counts.c.slot > now - widths[-1] - SLOT)
    rows = (
        await tx.execute(sa.select(level_counts.c.level, *columns).where(these).group_by(level_counts.c.level))
    ).all()
    return {
        row.level: {
            width: Counts(int(getattr(row, f"good_{i}")), int(getattr(row, f"bad_{i}")))
            for i, width in enumerate(widths)
        }
        for row in rows
    }


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes what no budget counts any more."""
    await tx.execute(sa.delete(level_counts).where(level_counts.c.slot < at))
    await tx.execute(sa.delete(phases).where(sa.func.coalesce(phases.c.ended_at, phases.c.begun_at) < at))


def _target(targets: Mapping[Phase, timedelta]) -> sa.ColumnElement[timedelta]:
    known = {str(name): sa.literal(target, sa.Interval) for name, target in targets.items()}
    return sa.case(known, value=phases.c.phase)
