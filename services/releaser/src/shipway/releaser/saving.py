"""A model back into the tables after a look, and what is published of it: its desired state."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from shipway.contract import events as e
from shipway.releaser.state import IN_PROGRESS, Hold, Model
from shipway.releaser.tables import models, orders, releases, versions
from shipway.runtime.database import Transaction

_VERSION_COLUMNS = ["role", "degraded", "retiring", "deferred", "routed_until", "pinned", "replacement_asked"]
_RELEASE_COLUMNS = ["state", "step", "since", "deadline", "reason"]


async def save(
    tx: Transaction, before: Model, after: Model, traceparent: str | None, now: datetime
) -> e.DesiredState | None:
    """Writes what differs, as of ``now``; gives the desired state to publish where its generation grew."""
    for number, version in after.versions.items():
        if version != before.versions.get(number):
            values = {name: getattr(version, name) for name in _VERSION_COLUMNS}
            values["gone_at"] = sa.func.coalesce(versions.c.gone_at, now) if version.role == "gone" else None
            this = (versions.c.model == after.name, versions.c.version == number)
            await tx.execute(sa.update(versions).where(*this).values(values))
    # A release that ends comes before the next that begins: only one may be in progress.
    for release in sorted(after.releases.values(), key=lambda r: r.state in IN_PROGRESS):
        if release != before.releases.get(release.version):
            values = {name: getattr(release, name) for name in _RELEASE_COLUMNS}
            values |= {"evidence": msgspec.to_builtins(release.evidence), "hold": _as_json(release.hold)}
            await tx.execute(sa.update(releases).where(releases.c.id == release.id).values(values))
    if settled := {o.id for o in before.orders} - {o.id for o in after.orders}:
        await tx.execute(sa.delete(orders).where(orders.c.command_id.in_(settled)))
    if after.spent is None and before.spent is not None:
        await tx.execute(sa.update(models).where(models.c.model == after.name).values(spent=None))
    if after.replacement_asked_at != before.replacement_asked_at:
        asked_at = {"replacement_asked_at": after.replacement_asked_at}
        await tx.execute(sa.update(models).where(models.c.model == after.name).values(asked_at))
    if after.frozen != before.frozen:
        frozen = _as_json(after.frozen)
        await tx.execute(sa.update(models).where(models.c.model == after.name).values(frozen=frozen))
    if after.generation == before.generation:
        return None
    state = await _desired_state(tx, after)
    head = {
        "generation": after.generation,
        "desired": msgspec.to_builtins(after.desired),
        "published": msgspec.to_builtins(state),
        "traceparent": sa.func.coalesce(traceparent, models.c.traceparent),
        "updated_at": sa.func.now(),
    }
    await tx.execute(sa.update(models).where(models.c.model == after.name).values(head))
    return state


async def published(tx: Transaction) -> Sequence[tuple[e.DesiredState, str | None]]:
    """The desired state of every model that has one, with its trace."""
    statement = sa.select(models.c.published, models.c.traceparent).where(models.c.published.is_not(None))
    rows = (await tx.execute(statement.order_by(models.c.model))).all()
    return [(msgspec.convert(row.published, e.DesiredState), row.traceparent) for row in rows]


def _as_json(hold: Hold | None) -> Any:
    return None if hold is None else msgspec.to_builtins(hold)


async def _desired_state(tx: Transaction, model: Model) -> e.DesiredState:
    numbers = [number for number, _ in model.desired.held]
    columns = (versions.c.version, versions.c.digest, versions.c.signature, versions.c.prediction_log)
    statement = sa.select(*columns).where(versions.c.model == model.name, versions.c.version.in_(numbers))
    rows = {row.version: row for row in (await tx.execute(statement)).all()}
    held = [
        e.HeldVersion(
            version=number,
            digest=rows[number].digest,
            role=role,
            signature=rows[number].signature,
            prediction_log=rows[number].prediction_log,
        )
        for number, role in model.desired.held
    ]
    traffic = [e.Traffic(version=number, share=share) for number, share in model.desired.traffic]
    shadow = e.Traffic(version=model.desired.shadow[0], share=model.desired.shadow[1]) if model.desired.shadow else None
    return e.DesiredState(
        model=model.name,
        generation=model.generation,
        versions=held,
        traffic=traffic,
        shadow=shadow,
        sticky=model.desired.sticky,
    )
