"""Whose bundles are to be removed, in the tables. Every function works within a transaction.

A bundle is marked under the lock of its model's row, under which every decision is made, and never unmarked: what is
marked is held by no instance, has been retired and gone for as long as its model file says, and can't come back. Orders
that wait, such as one to restore it, come first.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from shipway.releaser.tables import models, orders, versions
from shipway.runtime.database import Transaction


async def due(tx: Transaction, now: datetime) -> Sequence[tuple[str, int]]:
    """The versions whose bundles are to be removed."""
    rows = (await tx.execute(sa.select(versions.c.model, versions.c.version).where(_unneeded(now)))).all()
    return [(row.model, row.version) for row in rows]


async def mark(tx: Transaction, model: str, version: int, now: datetime) -> bool:
    """Marks a bundle to be removed, if it still is; False also where somebody else has the model now."""
    lock = sa.select(models.c.model).where(models.c.model == model).with_for_update(skip_locked=True)
    if (await tx.execute(lock)).scalar() is None:
        return False
    statement = sa.update(versions).where(_this(model, version), _unneeded(now)).values(bundle="removing")
    return (await tx.execute(statement)).rowcount == 1


async def marked(tx: Transaction) -> Sequence[Any]:
    """The versions (model, version, digest, keep_bundle_s) whose bundles are marked."""
    columns = (versions.c.model, versions.c.version, versions.c.digest, versions.c.keep_bundle_s)
    return (await tx.execute(sa.select(*columns).where(versions.c.bundle == "removing"))).all()


async def removed(tx: Transaction, model: str, version: int) -> bool:
    """Notes that a marked bundle is removed; False where that was noted before."""
    statement = sa.update(versions).where(_this(model, version), versions.c.bundle == "removing")
    return (await tx.execute(statement.values(bundle="removed"))).rowcount == 1


def _this(model: str, version: int) -> sa.ColumnElement[bool]:
    return (versions.c.model == model) & (versions.c.version == version)


def _unneeded(now: datetime) -> sa.ColumnElement[bool]:
    """Retired, gone for long enough, not pinned, named by no order, and no other version's bundle too."""
    v, other = versions.c, versions.alias("other")
    kept_until = v.gone_at + v.keep_bundle_s * sa.literal(timedelta(seconds=1), sa.Interval)
    ordered = sa.exists().where(orders.c.model == v.model, sa.func.coalesce(orders.c.version, v.version) == v.version)
    elsewhere = sa.exists().where(
        other.c.digest == v.digest, sa.or_(other.c.model != v.model, other.c.version != v.version)
    )
    return sa.and_(
        v.role == "gone",
        v.retiring.is_not(None),
        v.pinned.is_(None),
        v.bundle == "kept",
        kept_until <= now,
        ~ordered,
        ~elsewhere,
    )
