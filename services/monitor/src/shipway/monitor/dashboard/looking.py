"""What pages read of the monitor's tables beyond the API's answers. Every function works within a transaction.

Each is bounded whatever is on record: by the newest so many, or by a range of time that an index cuts out.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from shipway.monitor.dashboard import timeline
from shipway.monitor.quality import Quality
from shipway.monitor.tables import (
    alerts,
    dead_letters,
    events,
    findings,
    models,
    quality,
    quality_totals,
    requests,
    usage,
    versions,
)
from shipway.runtime.database import Transaction

ANSWERED = "shipway.CommandAnswered.v1"
PROGRESSED = "shipway.TrainingProgressed.v1"
VERSIONS, REQUESTS, EVENTS, LANES, JOBS = 15, 8, 50, 12, 50
_EPOCH = sa.text("timestamptz '1970-01-01 00:00:00+00'")


async def minutes(
    tx: Transaction, names: Collection[str], since: datetime
) -> dict[str, dict[datetime, dict[str, int]]]:
    """How many predictions of each model ended how, minute by minute."""
    statement = (
        sa.select(usage.c.model, usage.c.minute, usage.c.outcome, sa.func.sum(usage.c.count).label("number"))
        .where(usage.c.model.in_(names), usage.c.minute >= since)
        .group_by(usage.c.model, usage.c.minute, usage.c.outcome)
    )
    found: dict[str, dict[datetime, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in (await tx.execute(statement)).all():
        found[row.model][row.minute][row.outcome] = int(row.number)
    return found


async def first_minute(tx: Transaction, name: str) -> datetime | None:
    """When a model's first prediction was."""
    found = await tx.execute(sa.select(sa.func.min(usage.c.minute)).where(usage.c.model == name))
    first: datetime | None = found.scalar_one()
    return first


async def traffic(tx: Transaction, name: str, since: datetime, width: timedelta) -> list[Any]:
    """Rows (version, at, outcome, number, latency_us) of predictions, added up over parts of ``width``."""
    at = sa.func.date_bin(width, usage.c.minute, _EPOCH).label("at")
    statement = (
        sa.select(
            usage.c.version,
            at,
            usage.c.outcome,
            sa.cast(sa.func.sum(usage.c.count), sa.BigInteger).label("number"),
            sa.cast(sa.func.sum(usage.c.latency_us_sum), sa.Float).label("latency_us"),
        )
        .where(usage.c.model == name, usage.c.minute >= since)
        .group_by(usage.c.version, at, usage.c.outcome)
    )
    return list((await tx.execute(statement)).all())


async def qualities(
    tx: Transaction, name: str, since: datetime, width: timedelta
) -> dict[tuple[int, datetime], Quality]:
    """The sums of loss by version and part of ``width``, of labels that are known."""
    at = sa.func.date_bin(width, quality.c.hour, _EPOCH).label("at")
    statement = (
        sa.select(
            quality.c.version,
            at,
            _total("labelled"),
            _total("loss_sum"),
            _total("loss_square_sum"),
        )
        .where(quality.c.model == name, quality.c.hour >= since)
        .group_by(quality.c.version, at)
    )
    return {
        (row.version, row.at): Quality(int(row.labelled), row.loss_sum, row.loss_square_sum)
        for row in (await tx.execute(statement)).all()
    }


def _total(what: str) -> sa.Label[float]:
    return sa.func.sum(sa.cast(quality.c.sums[what].astext, sa.Float)).label(what)


async def totals(tx: Transaction, name: str, numbers: Collection[int]) -> dict[int, Quality]:
    """The whole sums of quality of some versions."""
    these = (quality_totals.c.model == name) & quality_totals.c.version.in_(numbers)
    rows = (await tx.execute(sa.select(quality_totals.c.version, quality_totals.c.sums).where(these))).all()
    return {row.version: Quality(**row.sums) for row in rows}


async def newest_versions(
    tx: Transaction, name: str, before: int | None, limit: int = VERSIONS
) -> list[dict[str, Any]]:
    """A model's newest versions, those below ``before``, the newest first."""
    statement = sa.select(versions).where(versions.c.model == name)
    if before is not None:
        statement = statement.where(versions.c.version < before)
    rows = (await tx.execute(statement.order_by(versions.c.version.desc()).limit(limit))).all()
    return [_version(row) for row in rows]


async def these_versions(tx: Transaction, name: str, numbers: Collection[int]) -> dict[int, dict[str, Any]]:
    """Some versions of a model."""
    statement = sa.select(versions).where(versions.c.model == name, versions.c.version.in_(numbers))
    return {row.version: _version(row) for row in (await tx.execute(statement)).all()}


async def newest_requests(tx: Transaction, name: str) -> list[dict[str, Any]]:
    """A model's newest training requests."""
    statement = sa.select(requests).where(requests.c.model == name)
    rows = (await tx.execute(statement.order_by(requests.c.changed_at.desc()).limit(REQUESTS))).all()
    return [dict(row._mapping) for row in rows]


async def jobs(tx: Transaction, name: str | None, state: str | None, skip: int) -> list[dict[str, Any]]:
    """Requests of all models, or of one, the last changed first; ``skip``: without the first so many."""
    statement = sa.select(requests)
    for column, value in ((requests.c.model, name), (requests.c.state, state)):
        if value is not None:
            statement = statement.where(column == value)
    ordered = statement.order_by(requests.c.changed_at.desc(), requests.c.request_id)
    return [dict(row._mapping) for row in (await tx.execute(ordered.offset(skip).limit(JOBS))).all()]


async def progress_of_job(tx: Transaction, request_id: str) -> list[dict[str, Any]]:
    """What a job said on its way (TrainingProgressed), the oldest first, each with when it was."""
    this = (events.c.type == PROGRESSED) & (events.c.payload["request_id"].astext == request_id)
    newest = sa.select(events.c.at, events.c.payload).where(this).order_by(events.c.id.desc()).limit(EVENTS)
    return [{**row.payload, "at": row.at} for row in reversed((await tx.execute(newest)).all())]


async def failed_requests(tx: Transaction) -> dict[str, str]:
    """Of each model whose newest training request failed: why."""
    newest = sa.select(requests).ext(distinct_on(requests.c.model))
    rows = (await tx.execute(newest.order_by(requests.c.model, requests.c.changed_at.desc()))).all()
    return {row.model: row.message or "" for row in rows if row.state == "failed"}


async def answers(tx: Transaction, name: str | None) -> dict[str, list[dict[str, Any]]]:
    """What the releaser said to commands, by model, the oldest first."""
    statement = sa.select(events.c.model, events.c.payload).where(events.c.type == ANSWERED)
    if name is not None:
        statement = statement.where(events.c.model == name)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (await tx.execute(statement.order_by(events.c.id.desc()).limit(1000))).all():
        found[row.model].insert(0, row.payload)
    return found


async def answer(tx: Transaction, name: str, command_id: str) -> dict[str, Any] | None:
    """What the releaser said to one command; None: nothing yet."""
    this = (events.c.model == name) & (events.c.type == ANSWERED)
    newest = sa.select(events.c.payload).where(this).order_by(events.c.id.desc()).limit(200)
    for row in (await tx.execute(newest)).all():
        if row.payload.get("command_id") == command_id:
            found: dict[str, Any] = row.payload
            return found
    return None


async def on_the_timeline(tx: Transaction, name: str, numbers: Collection[int]) -> list[dict[str, Any]]:
    """The events that say what these versions were, the oldest first."""
    these = (events.c.model == name) & events.c.version.in_(numbers) & events.c.type.in_(timeline.TYPES)
    columns = (events.c.version, events.c.type, events.c.at, events.c.payload)
    rows = (await tx.execute(sa.select(*columns).where(these).order_by(events.c.id.desc()).limit(500))).all()
    return sorted((dict(row._mapping) for row in rows), key=lambda row: row["at"])


async def recent(
    tx: Transaction,
    *,
    model: str | None = None,
    version: int | None = None,
    kind: str | None = None,
    trace: str | None = None,
    before: int | None = None,
    limit: int = EVENTS,
) -> list[dict[str, Any]]:
    """Events, the newest first, those before a cursor."""
    statement = sa.select(events)
    wanted = ((events.c.model, model), (events.c.version, version), (events.c.type, kind), (events.c.trace_id, trace))
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    if before is not None:
        statement = statement.where(events.c.id < before)
    rows = (await tx.execute(statement.order_by(events.c.id.desc()).limit(limit))).all()
    return [dict(row._mapping) for row in rows]


async def progress_of(tx: Transaction, name: str, version: int) -> list[dict[str, Any]]:
    """The steps of a version's release (ReleaseProgressed), the oldest first, each with when it was."""
    kind = "shipway.ReleaseProgressed.v1"
    found = await recent(tx, model=name, version=version, kind=kind, limit=30)
    return [{**row["payload"], "at": row["at"]} for row in reversed(found)]


async def model_names(tx: Transaction) -> list[str]:
    """Every model's name."""
    return list((await tx.execute(sa.select(models.c.name).order_by(models.c.name))).scalars())


async def drift_findings(tx: Transaction, name: str, version: int) -> list[dict[str, Any]]:
    """What is found of a version's features and score, the most drifted first."""
    these = (findings.c.model == name) & (findings.c.version == version) & (findings.c.kind == "drift")
    ordered = sa.select(findings).where(these).order_by(findings.c.figure.desc().nulls_last(), findings.c.subject)
    return [dict(row._mapping) for row in (await tx.execute(ordered)).all()]


async def other_findings(tx: Transaction, name: str) -> list[dict[str, Any]]:
    """What is found of a model beside drift: traffic, errors, latency, answers, inputs; what is an alarm first."""
    these = (findings.c.model == name) & (findings.c.kind != "drift")
    ordered = (
        sa.select(findings)
        .where(these)
        .order_by(findings.c.alarm.desc(), findings.c.version.desc(), findings.c.kind, findings.c.subject)
    )
    return [dict(row._mapping) for row in (await tx.execute(ordered.limit(EVENTS))).all()]


async def champions_and_waiting(tx: Transaction) -> tuple[dict[str, dict[str, Any]], dict[str, list[int]]]:
    """Every model's champion, and which of its versions were approved and are not released, by model."""
    these = sa.select(versions).where(versions.c.state.in_(("champion", "approved"))).order_by(versions.c.version)
    champions: dict[str, dict[str, Any]] = {}
    waiting: dict[str, list[int]] = defaultdict(list)
    for row in (await tx.execute(these)).all():
        if row.state == "champion":
            champions[row.model] = _version(row)
        else:
            waiting[row.model].append(row.version)
    return champions, waiting


async def pulse(tx: Transaction) -> tuple[int, int, int]:
    """What changes whenever a page may have: the newest event, the changes of alerts, the newest dead letter."""
    newest = (await tx.execute(sa.select(sa.func.max(events.c.id)))).scalar_one() or 0
    told = sa.select(sa.func.coalesce(sa.func.sum(alerts.c.changes), 0) + sa.func.count(alerts.c.acked_at))
    changed = (await tx.execute(told.where(alerts.c.ended_at.is_(None)))).scalar_one()
    letter = (await tx.execute(sa.select(sa.func.max(dead_letters.c.id)))).scalar_one() or 0
    return int(newest), int(changed), int(letter)


def _version(row: Any) -> dict[str, Any]:
    return dict(row._mapping) | {"state": row.state or "trained"}
