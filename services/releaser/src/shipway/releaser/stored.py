"""A model out of the tables, as a look sees it: its versions, their releases, and the orders that wait."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from shipway.contract import spec
from shipway.releaser.counts import Evidence, Quality
from shipway.releaser.state import Desired, Hold, Model, Order, Release, Version
from shipway.releaser.tables import models, orders, releases, versions
from shipway.runtime.database import Transaction

_VERSION_COLUMNS = [
    "version",
    "digest",
    "role",
    "degraded",
    "retiring",
    "deferred",
    "routed_until",
    "pinned",
    "replacement_asked",
    "bundle",
]
_RELEASE_COLUMNS = ["id", "policy", "state", "step", "since", "deadline", "evidence", "reason", "hold"]
_named_by_orders = sa.select(orders.c.model, orders.c.version)


@dataclass(frozen=True)
class Stored:
    """A model as it is stored, with each release's trace and time of approval, by version, and each order's trace."""

    model: Model
    traceparents: dict[int, str | None]
    approved_at: dict[int, datetime]
    order_traces: dict[str, str | None] = field(default_factory=dict)


async def load(tx: Transaction) -> list[Stored]:
    """Every model with its orders, and the versions with their releases.

    Of the versions that are gone only those are there that an order names.
    """
    return await _load(tx, None)


async def take(tx: Transaction, model: str) -> Stored | None:
    """That model, as ``load`` gives it, and its row locked; None where somebody else has it now, or there is none."""
    this = sa.select(models.c.model).where(models.c.model == model).with_for_update(skip_locked=True)
    if (await tx.execute(this)).scalar() is None:
        return None
    (stored,) = await _load(tx, model)
    return stored


async def _load(tx: Transaction, model: str | None) -> list[Stored]:
    only = [sa.true()] if model is None else [models.c.model == model]
    columns: list[Any] = [
        models.c[name] for name in ("model", "generation", "desired", "frozen", "spent", "replacement_asked_at")
    ]
    heads = (await tx.execute(sa.select(*columns).where(*only))).all()
    columns = [versions.c.model, versions.c.quality, releases.c.traceparent, releases.c.approved_at]
    columns += [versions.c[name] for name in _VERSION_COLUMNS] + [releases.c[name] for name in _RELEASE_COLUMNS]
    statement = (
        sa.select(*columns)
        .join(releases, sa.and_(releases.c.model == versions.c.model, releases.c.version == versions.c.version))
        .where(sa.or_(versions.c.role != "gone", sa.tuple_(versions.c.model, versions.c.version).in_(_named_by_orders)))
    )
    if model is not None:
        statement = statement.where(versions.c.model == model)
    found: dict[str, Stored] = {
        head.model: Stored(
            Model(
                head.model,
                head.generation,
                msgspec.convert(head.desired, Desired),
                frozen=_hold(head.frozen),
                spent=_hold(min(head.spent.values(), key=lambda hold: hold["since"]) if head.spent else None),
                replacement_asked_at=head.replacement_asked_at,
            ),
            {},
            {},
        )
        for head in heads
    }
    waiting = sa.select(orders).order_by(orders.c.seq)
    for row in (await tx.execute(waiting if model is None else waiting.where(orders.c.model == model))).all():
        if row.model in found:
            found[row.model] = _with_order(found[row.model], row)
    rows = (await tx.execute(statement)).all()
    for row in rows:
        stored = found.get(row.model)
        if stored is not None:
            found[row.model] = _with_row(stored, row)
    return list(found.values())


def _with_row(stored: Stored, row: Any) -> Stored:
    plain: dict[str, Any] = {name: getattr(row, name) for name in _VERSION_COLUMNS[1:]}
    version = Version(row.version, quality=msgspec.convert(row.quality or {}, Quality), **plain)
    release = Release(
        id=row.id,
        version=row.version,
        policy=spec.Release.model_validate(row.policy, extra="ignore"),
        since=row.since,
        state=row.state,
        step=row.step,
        deadline=row.deadline,
        evidence=msgspec.convert(row.evidence, Evidence),
        reason=row.reason,
        hold=_hold(row.hold),
    )
    model = replace(
        stored.model,
        versions={**stored.model.versions, version.number: version},
        releases={**stored.model.releases, version.number: release},
    )
    return replace(
        stored,
        model=model,
        traceparents={**stored.traceparents, version.number: row.traceparent},
        approved_at={**stored.approved_at, version.number: row.approved_at},
    )


def _with_order(stored: Stored, row: Any) -> Stored:
    order = Order(row.command_id, row.action, row.version, row.reason, row.requested_by)
    model = replace(stored.model, orders=(*stored.model.orders, order))
    return replace(stored, model=model, order_traces={**stored.order_traces, order.id: row.traceparent})


def _hold(raw: Any) -> Hold | None:
    return None if raw is None else msgspec.convert(raw, Hold)
