"""A model out of the tables, as a look sees it: its versions, their releases, and the orders that wait.

JSON comes as text, and each kind of it is decoded into what it is; the statements are made once, as SQLAlchemy takes
longer to make one, and to find what it compiled of it, than PostgreSQL to answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa

from shipway.contract import spec
from shipway.releaser.counts import UNLABELLED, Evidence, Quality
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
_RELEASE_COLUMNS = ["id", "state", "step", "since", "deadline", "reason", "traceparent", "approved_at"]


def _text(column: sa.Column[Any]) -> sa.ColumnElement[str]:
    return sa.cast(column, sa.Text).label(column.name)


_ordered = sa.exists().where(orders.c.model == models.c.model)
_HEADS = sa.select(
    models.c.model,
    models.c.generation,
    models.c.replacement_asked_at,
    *(_text(models.c[name]) for name in ("desired", "frozen", "spent")),
    _ordered.label("ordered"),
)
_LOCKED_HEAD = _HEADS.where(models.c.model == sa.bindparam("of")).with_for_update(skip_locked=True)
_ORDERS = sa.select(orders).order_by(orders.c.seq)
_ORDERS_OF = _ORDERS.where(orders.c.model == sa.bindparam("of"))
_named_by_orders = sa.select(orders.c.model, orders.c.version)
_VERSIONS = (
    sa.select(
        versions.c.model,
        *(versions.c[name] for name in _VERSION_COLUMNS),
        *(releases.c[name] for name in _RELEASE_COLUMNS),
        *(_text(column) for column in (versions.c.quality, releases.c.policy, releases.c.evidence, releases.c.hold)),
    )
    .join(releases, sa.and_(releases.c.model == versions.c.model, releases.c.version == versions.c.version))
    .where(sa.or_(versions.c.role != "gone", sa.tuple_(versions.c.model, versions.c.version).in_(_named_by_orders)))
)
_VERSIONS_OF = _VERSIONS.where(versions.c.model == sa.bindparam("of"))
_SPENT = msgspec.json.Decoder(dict[str, Hold])


@dataclass(frozen=True)
class Stored:
    """A model as it is stored, with each release's trace and time of approval, by version, and each order's trace."""

    model: Model
    traceparents: Mapping[int, str | None]
    approved_at: Mapping[int, datetime]
    order_traces: Mapping[str, str | None] = field(default_factory=dict)


async def load(tx: Transaction) -> list[Stored]:
    """Every model with its orders, and the versions with their releases.

    Of the versions that are gone only those are there that an order names.
    """
    heads = (await tx.execute(_HEADS)).all()
    waiting = (await tx.execute(_ORDERS)).all() if any(head.ordered for head in heads) else []
    rows = (await tx.execute(_VERSIONS)).all()
    by_model: dict[str, tuple[list[Any], list[Any]]] = {head.model: ([], []) for head in heads}
    for place, found in enumerate((rows, waiting)):
        for row in found:
            if row.model in by_model:
                by_model[row.model][place].append(row)
    return [_stored(head, *by_model[head.model]) for head in heads]


async def take(tx: Transaction, model: str) -> Stored | None:
    """That model, as ``load`` gives it, and its row locked; None where somebody else has it now, or there is none."""
    head = (await tx.execute(_LOCKED_HEAD, {"of": model})).one_or_none()
    if head is None:
        return None
    waiting = (await tx.execute(_ORDERS_OF, {"of": model})).all() if head.ordered else []
    return _stored(head, (await tx.execute(_VERSIONS_OF, {"of": model})).all(), waiting)


def saved(before: Stored, after: Model) -> Stored:
    """What ``load`` gives once ``after`` is saved in the place of what was ``before``: the gone are not there."""
    named = {order.version for order in after.orders}
    kept = {number: v for number, v in after.versions.items() if v.role != "gone" or number in named}
    model = replace(after, versions=kept, releases={number: after.releases[number] for number in kept})
    return Stored(
        model,
        {number: before.traceparents[number] for number in kept},
        {number: before.approved_at[number] for number in kept},
        {order.id: before.order_traces[order.id] for order in after.orders},
    )


def _stored(head: Any, rows: Sequence[Any], waiting: Sequence[Any]) -> Stored:
    spent = _SPENT.decode(head.spent).values() if head.spent else ()
    model = Model(
        head.model,
        head.generation,
        msgspec.json.decode(head.desired, type=Desired),
        versions={row.version: _version(row) for row in rows},
        releases={row.version: _release(row) for row in rows},
        frozen=_hold(head.frozen),
        spent=min(spent, key=lambda hold: hold.since, default=None),
        orders=tuple(Order(r.command_id, r.action, r.version, r.reason, r.requested_by) for r in waiting),
        replacement_asked_at=head.replacement_asked_at,
    )
    return Stored(
        model,
        {row.version: row.traceparent for row in rows},
        {row.version: row.approved_at for row in rows},
        {row.command_id: row.traceparent for row in waiting},
    )


def _version(row: Any) -> Version:
    plain: dict[str, Any] = {name: getattr(row, name) for name in _VERSION_COLUMNS[1:]}
    quality = msgspec.json.decode(row.quality, type=Quality) if row.quality else UNLABELLED
    return Version(row.version, quality=quality, **plain)


def _release(row: Any) -> Release:
    return Release(
        id=row.id,
        version=row.version,
        policy=_policy(row.policy),
        since=row.since,
        state=row.state,
        step=row.step,
        deadline=row.deadline,
        evidence=msgspec.json.decode(row.evidence, type=Evidence),
        reason=row.reason,
        hold=_hold(row.hold),
    )


@lru_cache(maxsize=1000)
def _policy(text: str) -> spec.Release:
    """Once for all versions that are released by the same, at every look."""
    return spec.Release.model_validate(msgspec.json.decode(text), extra="ignore")


def _hold(text: str | None) -> Hold | None:
    return None if text is None else msgspec.json.decode(text, type=Hold)
