"""The quality of versions as the database has it: what is to be told, and what the API shows. Within a transaction."""

from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from shipway.monitor import naming
from shipway.monitor.labels import waiting
from shipway.monitor.quality import Answered, Quality, figures, maturity, mean_loss
from shipway.monitor.tables import label_counts, label_files, models, quality, quality_totals, usage
from shipway.runtime.database import Transaction

COUNTED = (
    *("received", "doubled", "conflicting", "late", "misfit", "misdirected", "orphan", "too old"),
    *("not judged", "partial", "alike"),
)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


async def untold(tx: Transaction, every_s: float) -> Any:
    """A version whose quality has changed since it was told, marked as told now; None where there is none."""
    t = quality_totals.c
    rested = sa.or_(t.told_at.is_(None), t.told_at <= sa.func.now() - timedelta(seconds=every_s))
    due = sa.select(quality_totals).where(t.changes != t.told_changes, rested).order_by(t.told_at.nulls_first())
    row = (await tx.execute(due.limit(1).with_for_update(skip_locked=True))).one_or_none()
    if row is not None:
        this = (t.model == row.model) & (t.version == row.version)
        values = {"told_changes": row.changes, "told_at": sa.func.now()}
        await tx.execute(sa.update(quality_totals).where(this).values(**values))
    return row


async def answered(tx: Transaction, model: str, version: int) -> int:
    """How many predictions a version has answered."""
    these = (usage.c.model == model) & (usage.c.version == version) & (usage.c.outcome == "answered")
    return int((await tx.execute(sa.select(sa.func.coalesce(sa.func.sum(usage.c.count), 0)).where(these))).scalar_one())


async def hours_between(
    tx: Transaction, model: str, version: int, begin: datetime, end: datetime
) -> tuple[list[Quality], int]:
    """What labels say of a version's predictions of whole hours from ``begin`` to ``end``, an hour each; and how many
    were answered.
    """
    of_version = (quality.c.model == model) & (quality.c.version == version)
    these = of_version & (quality.c.hour >= begin) & (quality.c.hour < end)
    rows = (await tx.execute(sa.select(quality.c.sums).where(these).order_by(quality.c.hour))).all()
    in_usage = (usage.c.model == model) & (usage.c.version == version) & (usage.c.outcome == "answered")
    counting = sa.select(sa.func.coalesce(sa.func.sum(usage.c.count), 0))
    found = await tx.execute(counting.where(in_usage, usage.c.minute >= begin, usage.c.minute < end))
    return [Quality(**row.sums) for row in rows], int(found.scalar_one())


async def days_before(tx: Transaction, model: str, end: datetime, count: int) -> list[tuple[int, Quality]]:
    """The last ``count`` days up to ``end``, a full hour, the newest first: how many predictions of a model were
    answered, and what labels say of them.
    """
    begin = end - count * _DAY
    found = [(0, Quality()) for _ in range(count)]
    counting = sa.func.date_bin(_DAY, usage.c.minute, end).label("day")
    in_usage = (usage.c.model == model) & (usage.c.outcome == "answered")
    in_usage &= (usage.c.minute >= begin) & (usage.c.minute < end)
    total = sa.func.sum(usage.c.count).label("answered")
    for row in (await tx.execute(sa.select(counting, total).where(in_usage).group_by(counting))).all():
        ago = (end - row.day) // _DAY - 1
        found[ago] = (int(row.answered), found[ago][1])
    these = (quality.c.model == model) & (quality.c.hour >= begin) & (quality.c.hour < end)
    for row in (await tx.execute(sa.select(quality.c.hour, quality.c.sums).where(these))).all():
        found[(end - row.hour - _HOUR) // _DAY][1].add(Quality(**row.sums))
    return found


async def of_model(tx: Transaction, name: str, since: datetime) -> dict[str, Any] | None:
    """Coverage, maturity and quality of a model's predictions since then, by version and day; None: no such model."""
    if (await tx.execute(sa.select(models.c.name).where(models.c.name == name))).one_or_none() is None:
        return None
    since = since.replace(minute=0, second=0, microsecond=0)
    hour = sa.func.date_trunc("hour", usage.c.minute)
    counting = (
        sa.select(usage.c.version, hour.label("hour"), sa.func.sum(usage.c.count).label("answered"))
        .where(usage.c.model == name, usage.c.outcome == "answered", usage.c.minute >= since)
        .group_by(usage.c.version, hour)
    )
    hours: defaultdict[tuple[int, datetime], list[Any]] = defaultdict(lambda: [0, Quality()])
    for row in (await tx.execute(counting)).all():
        hours[row.version, row.hour][0] = int(row.answered)
    these = (quality.c.model == name) & (quality.c.hour >= since)
    for row in (await tx.execute(sa.select(quality).where(these))).all():
        hours[row.version, row.hour][1] = Quality(**row.sums)
    versions = sorted({version for version, _ in hours})
    outputs = {v: s.output for v, s in (await naming.signatures_of(tx, name, versions)).items()}
    now = datetime.now(UTC)
    return {
        "model": name,
        "since": since,
        "counts": await _counts(tx, name),
        "versions": [
            {
                "version": version,
                **_shown({at: both for (v, at), both in hours.items() if v == version}, outputs.get(version, ""), now),
            }
            for version in versions
        ],
        "files": await _files(tx, name, since),
    }


async def _counts(tx: Transaction, name: str) -> dict[str, int]:
    statement = sa.select(label_counts.c.what, label_counts.c.count).where(label_counts.c.model == name)
    found = {row.what: int(row._mapping["count"]) for row in (await tx.execute(statement)).all()}
    shown = {what.replace(" ", "_"): found.get(what, 0) for what in COUNTED}
    return shown | {"waiting": await waiting(tx, name)}


async def _files(tx: Transaction, name: str, since: datetime) -> list[dict[str, Any]]:
    these = (label_files.c.model == name) & (label_files.c.day >= since.date()) & label_files.c.written_at.is_not(None)
    rows = (await tx.execute(sa.select(label_files).where(these).order_by(label_files.c.day))).all()
    return [{"day": r.day, "rows": r.rows, "bytes": r.bytes, "written_at": r.written_at} for r in rows]


def _shown(hours: dict[datetime, list[Any]], output: str, now: datetime) -> dict[str, Any]:
    """A version's hours together, and by day."""
    days: defaultdict[datetime, list[Any]] = defaultdict(lambda: [0, Quality()])
    whole: list[Any] = [0, Quality()]
    for at, (number, sums) in hours.items():
        for total in (days[at.replace(hour=0)], whole):
            total[0] += number
            total[1].add(sums)
    ripe = maturity((Answered(at + _HOUR, n, sums.delays) for at, (n, sums) in hours.items()), now)
    return {
        **_summary(whole, output),
        "maturity": [
            {"age_s": m.age.total_seconds(), "predictions": m.predictions, "labelled": m.labelled, "share": m.share}
            for m in ripe
        ],
        "days": [{"day": at.date(), **_summary(both, output)} for at, both in sorted(days.items())],
    }


def _summary(both: list[Any], output: str) -> dict[str, Any]:
    number, sums = both
    estimate = mean_loss(sums)
    return {
        "predictions": number,
        "labelled": sums.rows,
        "queries": sums.labelled if output == "ranking" else None,
        "coverage": min(sums.rows / number, 1.0) if number else None,
        "loss": asdict(estimate) if estimate else None,
        "metrics": figures(sums, output),
    }
