"""A model back into the tables after a look, and what is published of it: its desired state."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from shipway.contract import events as e
from shipway.releaser.state import IN_PROGRESS, Hold, Model, Release, Version
from shipway.releaser.tables import models, orders, releases, versions
from shipway.runtime.database import Transaction

_VERSION_COLUMNS = ["role", "degraded", "retiring", "deferred", "routed_until", "pinned", "replacement_asked"]
_RELEASE_COLUMNS = ["state", "step", "since", "deadline", "reason"]
_GONE_AT = sa.bindparam("now_if_gone", type_=versions.c.gone_at.type)
_SAVE_VERSION = (
    sa.update(versions)
    .where(versions.c.model == sa.bindparam("of"), versions.c.version == sa.bindparam("number"))
    .values({name: sa.bindparam(f"new_{name}") for name in _VERSION_COLUMNS})
    .values(gone_at=sa.case((_GONE_AT.is_not(None), sa.func.coalesce(versions.c.gone_at, _GONE_AT))))
)
_SAVE_RELEASE = (
    sa.update(releases)
    .where(releases.c.id == sa.bindparam("of"))
    .values({name: sa.bindparam(f"new_{name}") for name in [*_RELEASE_COLUMNS, "evidence", "hold"]})
)


async def save(
    tx: Transaction, before: Model, after: Model, traceparent: str | None, now: datetime
) -> e.DesiredState | None:
    """Writes what differs, as of ``now``; gives the desired state to publish where its generation grew."""
    if changed := [v for number, v in after.versions.items() if v != before.versions.get(number)]:
        await tx.execute(_SAVE_VERSION, [_version_row(after.name, version, now) for version in changed])
    # A release that ends comes before the next that begins: only one may be in progress.
    ordered = sorted(after.releases.values(), key=lambda r: r.state in IN_PROGRESS)
    if changes := [release for release in ordered if release != before.releases.get(release.version)]:
        await tx.execute(_SAVE_RELEASE, [_release_row(release) for release in changes])
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


def _version_row(model: str, version: Version, now: datetime) -> dict[str, Any]:
    row = {f"new_{name}": getattr(version, name) for name in _VERSION_COLUMNS}
    return row | {"of": model, "number": version.number, "now_if_gone": now if version.role == "gone" else None}


def _release_row(release: Release) -> dict[str, Any]:
    row = {f"new_{name}": getattr(release, name) for name in _RELEASE_COLUMNS} | {"of": release.id}
    return row | {"new_evidence": msgspec.to_builtins(release.evidence), "new_hold": _as_json(release.hold)}


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
