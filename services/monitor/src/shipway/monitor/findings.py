"""The newest findings in PostgreSQL, each with the states before it. Every function works within a transaction."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.monitor.judgement import DRIFT, Finding
from shipway.monitor.tables import findings, models, watch_states, windows
from shipway.runtime.database import Transaction

RECENT = 30
_KEY = ("model", "version", "kind", "subject")


async def keep(tx: Transaction, model: str, begin: datetime, end: datetime, found: Iterable[Finding]) -> None:
    """Puts findings of a window in the place of those before."""
    rows = [{"model": model, "begin": begin, "end": end, "recent": [_short(one, end)], **asdict(one)} for one in found]
    if not rows:
        return
    statement = insert(findings)
    new = statement.excluded
    before = findings.c.recent.op("||")(new.recent)
    # The oldest goes where there are too many.
    recent = sa.case((sa.func.jsonb_array_length(before) > RECENT, before.op("-")(0)), else_=before)
    changed = {c.name: new[c.name] for c in findings.columns if c.name not in (*_KEY, "recent")}
    put = statement.on_conflict_do_update(index_elements=list(_KEY), set_=changed | {"recent": recent})
    await tx.execute(put, rows)


async def drift_states(tx: Transaction, model: str, version: int) -> dict[str, list[str]]:
    """The states of a version's columns in the last windows, the newest last."""
    return {subject: states for (_, subject), states in (await states_of(tx, model, version, [DRIFT])).items()}


async def states_of(
    tx: Transaction, model: str, version: int, kinds: Collection[str]
) -> dict[tuple[str, str], list[str]]:
    """The states of findings in the last windows, by kind and subject, the newest last."""
    these = (findings.c.model == model) & (findings.c.version == version) & findings.c.kind.in_(kinds)
    rows = (await tx.execute(sa.select(findings.c.kind, findings.c.subject, findings.c.recent).where(these))).all()
    return {(row.kind, row.subject): [one["state"] for one in row.recent] for row in rows}


async def alarms(tx: Transaction, model: str) -> set[tuple[int, str, str]]:
    """The version, kind and subject of a model's findings that are alarms."""
    key = (findings.c.version, findings.c.kind, findings.c.subject)
    found = await tx.execute(sa.select(*key).where(findings.c.model == model, findings.c.alarm))
    return {(row.version, row.kind, row.subject) for row in found.all()}


async def too_bad(tx: Transaction, model: str, version: int, kind: str) -> Finding | None:
    """What of this kind is an alarm of a version now."""
    these = (findings.c.model == model) & (findings.c.version == version) & (findings.c.kind == kind)
    row = (await tx.execute(sa.select(findings).where(these, findings.c.alarm).limit(1))).one_or_none()
    return Finding(**{f.name: getattr(row, f.name) for f in fields(Finding)}) if row is not None else None


async def of_model(tx: Transaction, name: str) -> dict[str, Any] | None:
    """What is found of a model; None: no such model."""
    if (await tx.execute(sa.select(models.c.name).where(models.c.name == name))).one_or_none() is None:
        return None
    watched = sa.select(watch_states.c.watched_to).where(watch_states.c.model == name)
    late = sa.select(sa.func.coalesce(sa.func.sum(windows.c.late), 0)).where(windows.c.model == name)
    these = sa.select(findings).where(findings.c.model == name)
    rows = (await tx.execute(these.order_by(findings.c.version, findings.c.kind, findings.c.subject))).all()
    return {
        "model": name,
        "watched_to": (await tx.execute(watched)).scalar_one_or_none(),
        "late": int((await tx.execute(late)).scalar_one()),
        "findings": [{k: v for k, v in row._mapping.items() if k != "model"} for row in rows],
    }


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes what is said of versions that have not been asked since."""
    await tx.execute(sa.delete(findings).where(findings.c.end < at))


def _short(one: Finding, end: datetime) -> dict[str, Any]:
    return {"at": end.isoformat(), "state": one.state, "figure": one.figure}
