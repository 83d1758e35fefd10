"""Alerts in PostgreSQL: raised, updated and ended with what was found, acknowledged, silenced. Within a transaction."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from shipway.contract.events import AlertChanged
from shipway.contract.spec import ModelSpec
from shipway.monitor import alerting
from shipway.monitor.alerting import Change, Key, Open, Rule
from shipway.monitor.judgement import Finding
from shipway.monitor.tables import alerts, silences
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import emit

MAX_LISTED = 1000


def rule_of(spec: ModelSpec) -> Rule:
    """A model's rule."""
    said = spec.alerts
    return Rule({str(kind): how for kind, how in said.severity.items()}, said.end_after, said.update_factor)


async def open_keys(tx: Transaction, model: str) -> set[Key]:
    """What a model's open alerts are about."""
    return set(await _open(tx, model))


async def follow(tx: Transaction, source: str, model: str, found: Iterable[Finding], rule: Rule, now: datetime) -> int:
    """Changes a model's alerts by what a window says, and tells of each change; gives how many were told."""
    before, told = await _open(tx, model), 0
    for finding in found:
        row = before.get((finding.version, finding.kind, finding.subject))
        change = alerting.change(Open(row.told_figure, row.quiet) if row is not None else None, finding, rule)
        if change is None:
            continue
        alert = await _changed(tx, model, row, finding, change, rule, now)
        if change.what != "seen":
            await emit(tx, source, told_of(alert, change.what))
            told += 1
    return told


def told_of(row: Any, state: str) -> AlertChanged:
    """An alert as its event."""
    return AlertChanged(
        model=row.model,
        version=row.version or None,
        alert_id=row.id,
        kind=row.kind,
        subject=row.subject,
        state=state,  # type: ignore[arg-type]
        severity=row.severity,
        figure=row.figure,
        limit=row.limit,
        reason=row.reason,
        page=alerting.page_of(row.kind),
        raised_at=row.raised_at,
        changed_at=row.changed_at,
    )


async def listed(tx: Transaction, model: str | None, *, ended: bool) -> list[dict[str, Any]]:
    """Alerts, the newest first; those that are over only where asked for."""
    statement = sa.select(alerts, silenced().label("silenced"))
    if model is not None:
        statement = statement.where(alerts.c.model == model)
    if not ended:
        statement = statement.where(alerts.c.ended_at.is_(None))
    rows = (await tx.execute(statement.order_by(alerts.c.raised_at.desc(), alerts.c.id).limit(MAX_LISTED))).all()
    shown = [c.name for c in alerts.columns if c.name not in ("changes", "quiet", "told_figure")]
    return [
        {name: getattr(row, name) for name in shown} | {"silenced": row.silenced, "page": alerting.page_of(row.kind)}
        for row in rows
    ]


async def acknowledge(tx: Transaction, alert_id: str, by: str, note: str) -> dict[str, Any] | None:
    """Notes who looks after an open alert: it is not told again until it ends. None: there is no such open alert."""
    this = (alerts.c.id == alert_id) & alerts.c.ended_at.is_(None)
    values = {"acked_by": by, "acked_at": sa.func.now(), "ack_note": note}
    row = (await tx.execute(sa.update(alerts).where(this).values(**values).returning(alerts))).one_or_none()
    return {"id": row.id, "acked_by": row.acked_by, "acked_at": row.acked_at} if row is not None else None


async def silence(
    tx: Transaction, model: str | None, kind: str | None, lasts: timedelta, by: str, reason: str
) -> dict[str, Any]:
    """Keeps alerts from being delivered for a time: of a model, of a kind, or all."""
    values = {"model": model, "kind": kind, "until": sa.func.now() + lasts, "made_by": by, "reason": reason}
    row = (await tx.execute(sa.insert(silences).values(**values).returning(silences))).one()
    return dict(row._mapping)


async def silences_now(tx: Transaction) -> list[dict[str, Any]]:
    """The silences that last."""
    these = sa.select(silences).where(silences.c.until > sa.func.now()).order_by(silences.c.id)
    return [dict(row._mapping) for row in (await tx.execute(these)).all()]


async def end_silence(tx: Transaction, silence_id: int) -> bool:
    """Ends a silence now; False where there is none that lasts."""
    this = (silences.c.id == silence_id) & (silences.c.until > sa.func.now())
    return (await tx.execute(sa.update(silences).where(this).values(until=sa.func.now()))).rowcount == 1


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes what is over and too old."""
    await tx.execute(sa.delete(alerts).where(alerts.c.ended_at < at))
    await tx.execute(sa.delete(silences).where(silences.c.until < at))


def silenced() -> sa.ColumnElement[bool]:
    """Whether an alert's row is silenced now."""
    return sa.exists().where(*_of_alert(), silences.c.until > sa.func.now())


def silenced_meanwhile() -> sa.ColumnElement[bool]:
    """Whether an alert that is over was silenced at any time while it lasted."""
    together = (silences.c.made_at <= alerts.c.ended_at) & (silences.c.until >= alerts.c.raised_at)
    return sa.exists().where(*_of_alert(), together)


def _of_alert() -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    of_model = sa.or_(silences.c.model.is_(None), silences.c.model == alerts.c.model)
    return of_model, sa.or_(silences.c.kind.is_(None), silences.c.kind == alerts.c.kind)


async def _open(tx: Transaction, model: str) -> dict[Key, Any]:
    these = sa.select(alerts).where(alerts.c.model == model, alerts.c.ended_at.is_(None)).with_for_update()
    return {(row.version, row.kind, row.subject): row for row in (await tx.execute(these)).all()}


async def _changed(
    tx: Transaction, model: str, row: Any, finding: Finding, change: Change, rule: Rule, now: datetime
) -> Any:
    if change.what == "seen":
        await tx.execute(sa.update(alerts).where(alerts.c.id == row.id).values(quiet=change.quiet))
        return row
    values: dict[str, Any] = {"changed_at": now.astimezone(UTC), "quiet": change.quiet}
    if change.what == "ended":
        values["ended_at"] = values["changed_at"]
    else:
        values |= {"figure": finding.figure, "told_figure": finding.figure, "limit": finding.limit}
        values["reason"] = finding.reason
    if row is not None:
        values["changes"] = alerts.c.changes + 1
        statement = sa.update(alerts).where(alerts.c.id == row.id).values(**values).returning(alerts)
        return (await tx.execute(statement)).one()
    key = {"model": model, "version": finding.version, "kind": finding.kind, "subject": finding.subject}
    severity = alerting.severity_of(finding.kind, rule)
    new = {"id": uuid.uuid4().hex, "severity": severity, "raised_at": values["changed_at"], "changes": 1}
    return (await tx.execute(sa.insert(alerts).values(**key, **new, **values).returning(alerts))).one()
