"""What pages read of the monitor's tables of models, versions, requests and findings, beyond the API's answers.

Every function works within a transaction, and gives so many at most, the newest.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from shipway.monitor.tables import findings, models, requests, versions
from shipway.runtime.database import Transaction

VERSIONS, REQUESTS, FINDINGS, LANES, JOBS = 15, 8, 50, 12, 50


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


async def failed_requests(tx: Transaction) -> dict[str, str]:
    """Of each model whose newest training request failed: why."""
    newest = sa.select(requests).ext(distinct_on(requests.c.model))
    rows = (await tx.execute(newest.order_by(requests.c.model, requests.c.changed_at.desc()))).all()
    return {row.model: row.message or "" for row in rows if row.state == "failed"}


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
    return [dict(row._mapping) for row in (await tx.execute(ordered.limit(FINDINGS))).all()]


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


def _version(row: Any) -> dict[str, Any]:
    return dict(row._mapping) | {"state": row.state or "trained"}
