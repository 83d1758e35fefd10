"""Windows of predictions in PostgreSQL. Every function works within a transaction.

A batch only adds a row, a *part*: so monitors that share the log's partitions never wait for each other. A reconciler
adds parts to their windows and removes them in one transaction: each counts once.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from shipway.contract.spec import ModelSpec
from shipway.monitor import latencies, ledger
from shipway.monitor.bins import Bins
from shipway.monitor.budgets import Counts
from shipway.monitor.ledger import SLOT
from shipway.monitor.levels import serving_counts
from shipway.monitor.packing import pack, unpack
from shipway.monitor.summary import LATENCIES, Key, Summary
from shipway.monitor.tables import reference_bins, signatures, watch_states, window_parts, windows
from shipway.runtime.database import Transaction

PARTS_AT_ONCE = 2000
_PART = sa.insert(window_parts).inline()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Watched:
    """How far a model's windows of ``width`` are judged."""

    to: datetime
    width: timedelta


def begin_of(at: datetime, width: timedelta) -> datetime:
    """The begin of the window that a moment is in."""
    return at - (at - EPOCH) % width


async def add_parts(tx: Transaction, summaries: Mapping[Key, Summary]) -> None:
    """Keeps what a batch adds, until it is in its windows."""
    rows = [
        {"model": model, "version": version, "slot": slot, "data": pack(summary)}
        for (model, version, slot), summary in summaries.items()
    ]
    if rows:
        await tx.execute(_PART, rows)


async def fold(tx: Transaction, specs: Mapping[str, ModelSpec], usual: timedelta) -> int:
    """Adds parts to the windows of their models' widths, to the counts of their service levels and to latencies over
    time; gives how many.
    """
    oldest = sa.select(window_parts.c.seq).order_by(window_parts.c.seq).limit(PARTS_AT_ONCE)
    taken = sa.delete(window_parts).where(window_parts.c.seq.in_(oldest.with_for_update(skip_locked=True)))
    parts = (await tx.execute(taken.returning(window_parts))).all()
    sums: defaultdict[tuple[str, datetime, int, int], Summary] = defaultdict(Summary)
    levels: defaultdict[tuple[str, str, datetime], Counts] = defaultdict(Counts)
    took: defaultdict[latencies.Slot, Any] = defaultdict(lambda: np.zeros(LATENCIES, np.int64))
    for part in parts:
        spec, summary = specs.get(part.model), unpack(part.data, Summary)
        width = spec.monitoring.window if spec is not None else usual
        sums[part.model, begin_of(part.slot, width), int(width.total_seconds()), part.version].add(summary)
        for level, counts in serving_counts(summary, spec).items() if spec is not None else ():
            levels[part.model, level, begin_of(part.slot, SLOT)] += counts
        for slot in latencies.KEEP if summary.answered and part.version else ():
            took[part.model, slot, begin_of(part.slot, slot), part.version] += summary.latencies
    await ledger.count(tx, levels)
    await latencies.add(tx, took)
    states = {row.model: row for row in (await tx.execute(sa.select(watch_states))).all()}
    # In one order for all, so that no two monitors wait for each other.
    for (model, begin, width_s, version), more in sorted(sums.items(), key=lambda item: item[0]):
        judged = states.get(model)
        late = judged is not None and judged.width_s == width_s and begin < judged.watched_to
        await _add(tx, {"model": model, "begin": begin, "width_s": width_s, "version": version}, more, late=late)
    return len(parts)


async def _add(tx: Transaction, key: dict[str, Any], more: Summary, *, late: bool) -> None:
    requests = more.answered + more.failed + more.refused
    empty = insert(windows).values(**key, requests=0, late=0, data=pack(Summary())).on_conflict_do_nothing()
    await tx.execute(empty)
    this = sa.and_(*(windows.c[name] == value for name, value in key.items()))
    kept = (await tx.execute(sa.select(windows.c.data).where(this).with_for_update())).scalar_one()
    total = unpack(kept, Summary)
    total.add(more)
    counts = {"requests": windows.c.requests + requests, "late": windows.c.late + (requests if late else 0)}
    await tx.execute(sa.update(windows).where(this).values(**counts, data=pack(total)))


async def claim(tx: Transaction, model: str, width: timedelta) -> Watched | None:
    """How far a model is judged, this transaction's alone; None where it is in other hands, or had no prediction yet.

    A new width of windows begins with the windows that are there.
    """
    width_s = int(width.total_seconds())
    this = sa.select(watch_states).where(watch_states.c.model == model).with_for_update(skip_locked=True)
    row = (await tx.execute(this)).one_or_none()
    if row is None or row.width_s != width_s:
        of_width = (windows.c.model == model) & (windows.c.width_s == width_s)
        first = (await tx.execute(sa.select(sa.func.min(windows.c.begin)).where(of_width))).scalar_one()
        if first is None:
            return None
        begin = begin_of(max(first, row.watched_to) if row is not None else first, width)
        values = {"width_s": width_s, "watched_to": begin}
        statement = insert(watch_states).values(model=model, **values)
        if row is None:
            made = await tx.execute(statement.on_conflict_do_nothing())
            return Watched(begin, width) if made.rowcount else None
        await tx.execute(sa.update(watch_states).where(watch_states.c.model == model).values(**values))
        return Watched(begin, width)
    return Watched(row.watched_to, width)


async def judged(tx: Transaction, model: str, to: datetime) -> None:
    """Notes how far a model is judged."""
    await tx.execute(sa.update(watch_states).where(watch_states.c.model == model).values(watched_to=to))


async def between(tx: Transaction, model: str, width: timedelta, begin: datetime, end: datetime) -> dict[int, Summary]:
    """What was predicted from ``begin`` to ``end``, by version."""
    found: defaultdict[int, Summary] = defaultdict(Summary)
    for row in (await tx.execute(sa.select(windows).where(_within(model, width, begin, end)))).all():
        found[row.version].add(unpack(row.data, Summary))
    return dict(found)


async def of_version(tx: Transaction, model: str, width: timedelta, begin: datetime, version: int) -> Summary:
    """What a version predicted since ``begin``."""
    these = _within(model, width, begin, datetime.max.replace(tzinfo=UTC)) & (windows.c.version == version)
    found = Summary()
    for data in (await tx.execute(sa.select(windows.c.data).where(these))).scalars():
        found.add(unpack(data, Summary))
    return found


async def requests_at(tx: Transaction, model: str, width: timedelta, begins: list[datetime]) -> list[int]:
    """How many requests came in the windows that begin then, of those since the model's first; 0 where none came."""
    of_width = (windows.c.model == model) & (windows.c.width_s == int(width.total_seconds()))
    first = (await tx.execute(sa.select(sa.func.min(windows.c.begin)).where(of_width))).scalar_one()
    counting = (
        sa.select(windows.c.begin, sa.func.sum(windows.c.requests))
        .where(of_width, windows.c.begin.in_(begins))
        .group_by(windows.c.begin)
    )
    found = {begin: int(count) for begin, count in (await tx.execute(counting)).all()}
    return [found.get(begin, 0) for begin in begins if first is not None and begin >= first]


async def bins_of(tx: Transaction, model: str, version: int) -> Bins | None:
    """How a version's predictions are counted; None where that is not known (yet)."""
    this = (reference_bins.c.model == model) & (reference_bins.c.version == version)
    data = (await tx.execute(sa.select(reference_bins.c.bins).where(this))).scalar_one_or_none()
    return unpack(data, Bins) if data is not None else None


async def learnt_bins(tx: Transaction, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Bins | None]:
    """The bins of those of these versions for which it is settled; None of one that has no reference."""
    rows = (await tx.execute(sa.select(reference_bins).where(_among(reference_bins, versions)))).all()
    return {(row.model, row.version): unpack(row.bins, Bins) if row.bins is not None else None for row in rows}


async def without_bins(tx: Transaction, among: Collection[tuple[str, int]] | None = None) -> list[tuple[str, int]]:
    """The approved versions (``among`` these) whose bins are not made yet, the newest first."""
    there = sa.exists().where(
        reference_bins.c.model == signatures.c.model, reference_bins.c.version == signatures.c.version
    )
    statement = sa.select(signatures.c.model, signatures.c.version).where(~there)
    if among is not None:
        statement = statement.where(_among(signatures, among))
    newest_first = statement.order_by(signatures.c.version.desc())
    return [(row.model, row.version) for row in (await tx.execute(newest_first)).all()]


async def keep_bins(tx: Transaction, model: str, version: int, bins: Bins | None, problem: str | None) -> None:
    """Keeps a version's bins for good: what is counted by them adds up only with its like."""
    values = {"bins": pack(bins) if bins is not None else None, "problem": problem}
    await tx.execute(insert(reference_bins).values(model=model, version=version, **values).on_conflict_do_nothing())


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes windows that are too old."""
    await tx.execute(sa.delete(windows).where(windows.c.begin < at))


def _among(table: sa.Table, versions: Collection[tuple[str, int]]) -> sa.ColumnElement[bool]:
    """By two arrays, as a batch may name more versions than a statement may have parameters."""
    models, numbers = [model for model, _ in versions], [number for _, number in versions]
    pairs = sa.select(
        sa.func.unnest(sa.cast(models, ARRAY(sa.Text))), sa.func.unnest(sa.cast(numbers, ARRAY(sa.Integer)))
    )
    return sa.tuple_(table.c.model, table.c.version).in_(pairs)


def _within(model: str, width: timedelta, begin: datetime, end: datetime) -> sa.ColumnElement[bool]:
    of_width = (windows.c.model == model) & (windows.c.width_s == int(width.total_seconds()))
    return of_width & (windows.c.begin >= begin) & (windows.c.begin < end)
