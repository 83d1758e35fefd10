"""Reading what the monitor knows, for its API."""

from datetime import date
from typing import Any

import sqlalchemy as sa

from shipway.monitor.tables import (
    events,
    history_files,
    history_staged,
    labels,
    models,
    requests,
    usage,
    versions,
)
from shipway.runtime.database import Transaction

IN_RELEASE = ("loading", "shadow", "canary")
MAX_VERSIONS = 1000
MAX_FILES = 10_000


async def overview(tx: Transaction, only: str | None = None) -> list[dict[str, Any]]:
    """Every model, or ``only`` one: champion, number of versions, the release in progress, the traffic."""
    counting = sa.select(versions.c.model, sa.func.count()).group_by(versions.c.model)
    named = sa.select(models).order_by(models.c.name)
    live = sa.select(versions).where(sa.or_(versions.c.state.in_(IN_RELEASE), versions.c.state == "champion"))
    if only is not None:
        counting, live = (of.where(versions.c.model == only) for of in (counting, live))
        named = named.where(models.c.name == only)
    counts: dict[str, int] = {name: count for name, count in (await tx.execute(counting)).all()}  # noqa: C416
    serving: dict[str, list[Any]] = {}
    for row in (await tx.execute(live.order_by(versions.c.version))).all():
        serving.setdefault(row.model, []).append(row)
    found = []
    for row in (await tx.execute(named)).all():
        releasing = next((v for v in serving.get(row.name, []) if v.state in IN_RELEASE), None)
        share = (releasing.share or 0.0) if releasing else 0.0
        traffic = {str(row.champion): 1.0 - share} if row.champion is not None else {}
        if releasing is not None and share:
            traffic[str(releasing.version)] = share
        found.append(
            {
                "name": row.name,
                "description": (row.spec or {}).get("description", ""),
                "champion": row.champion,
                "degraded": any(v.version == row.champion and v.degraded_at for v in serving.get(row.name, [])),
                "last_good": row.last_good,
                "version_count": counts.get(row.name, 0),
                "release": {"version": releasing.version, "state": releasing.state} if releasing else None,
                "traffic": traffic,
            }
        )
    return found


async def model(tx: Transaction, name: str) -> dict[str, Any] | None:
    """One model with its newest versions; None where it is not known."""
    row = (await tx.execute(sa.select(models).where(models.c.name == name))).one_or_none()
    if row is None:
        return None
    newest = sa.select(versions).where(versions.c.model == name).order_by(versions.c.version.desc()).limit(MAX_VERSIONS)
    found = (await tx.execute(newest)).all()
    return {
        "name": name,
        "spec": row.spec,
        "champion": row.champion,
        "last_good": row.last_good,
        "declared_at": row.declared_at,
        "versions": [version_row(v) for v in reversed(found)],
    }


async def version(tx: Transaction, name: str, number: int) -> dict[str, Any] | None:
    """One version; None where it is not known."""
    this = (versions.c.model == name) & (versions.c.version == number)
    row = (await tx.execute(sa.select(versions).where(this))).one_or_none()
    return version_row(row) if row is not None else None


def version_row(row: Any) -> dict[str, Any]:
    """A version's row as JSON-like data. Of one that only its use is known of, so much is sure: it was trained."""
    shown = {c.name: getattr(row, c.name) for c in versions.columns if c.name not in ("model", "traceparent")}
    return shown | {"state": row.state or "trained"}


async def request(tx: Transaction, request_id: str) -> dict[str, Any] | None:
    """A training request; None where it is not known."""
    row = (await tx.execute(sa.select(requests).where(requests.c.request_id == request_id))).one_or_none()
    return dict(row._mapping) if row is not None else None


async def model_usage(tx: Transaction, name: str) -> dict[str, Any] | None:
    """How many predictions of each version ended how, and how many labels there are; None: no such model."""
    if (await tx.execute(sa.select(models.c.name).where(models.c.name == name))).one_or_none() is None:
        return None
    statement = (
        sa.select(
            usage.c.version,
            usage.c.outcome,
            sa.func.sum(usage.c.count).label("count"),
            sa.func.sum(usage.c.latency_us_sum).label("latency_us_sum"),
            sa.func.max(usage.c.latency_us_max).label("latency_us_max"),
        )
        .where(usage.c.model == name)
        .group_by(usage.c.version, usage.c.outcome)
    )
    found: dict[str, dict[str, Any]] = {}
    for row in (await tx.execute(statement)).all():
        one = found.setdefault(str(row.version), {"answered": 0, "failed": 0, "refused": 0})
        one[row.outcome] = int(row._mapping["count"])
        if row.outcome == "answered":
            one["mean_latency_us"] = float(row.latency_us_sum) / int(row._mapping["count"])
            one["max_latency_us"] = int(row.latency_us_max)
    count = await tx.execute(sa.select(sa.func.count()).select_from(labels).where(labels.c.model == name))
    return {"versions": found, "labels": int(count.scalar_one())}


async def history(
    tx: Transaction, *, model: str | None, kind: str | None, trace_id: str | None, after: int | None, limit: int
) -> list[dict[str, Any]]:
    """Events after a cursor, oldest first; without a cursor the newest ones."""
    statement = sa.select(events)
    for column, value in ((events.c.model, model), (events.c.type, kind), (events.c.trace_id, trace_id)):
        if value is not None:
            statement = statement.where(column == value)
    if after is not None:
        statement = statement.where(events.c.id > after).order_by(events.c.id)
    else:
        statement = statement.order_by(events.c.id.desc())
    rows = (await tx.execute(statement.limit(limit))).all()
    return sorted((dict(row._mapping) for row in rows), key=lambda row: int(row["id"]))


async def prediction_history(tx: Transaction, name: str, day: date | None) -> dict[str, Any] | None:
    """The Parquet files of a model's predictions, the newest days where there are too many; None: no such model."""
    if (await tx.execute(sa.select(models.c.name).where(models.c.name == name))).one_or_none() is None:
        return None
    these = (history_files.c.model == name) & (history_files.c.state == "written")
    waits = history_staged.c.model == name
    if day is not None:
        these, waits = these & (history_files.c.day == day), waits & (history_staged.c.day == day)
    newest = sa.select(history_files).where(these).order_by(history_files.c.day.desc(), history_files.c.id.desc())
    found = (await tx.execute(newest.limit(MAX_FILES))).all()
    shown = ("day", "key", "rows", "bytes", "sha256", "first_at", "last_at", "created_at")
    waiting = sa.select(sa.func.coalesce(sa.func.sum(history_staged.c.rows), 0)).where(waits)
    return {
        "files": [{column: getattr(row, column) for column in shown} for row in reversed(found)],
        "waiting_rows": int((await tx.execute(waiting)).scalar_one()),
    }
