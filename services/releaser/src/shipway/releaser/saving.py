"""A model back into the tables after a look, and what is published of it: its desired state."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from shipway.contract import events as e
from shipway.releaser.serving import Serving
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


_THIS_MODEL = sa.update(models).where(models.c.model == sa.bindparam("of"))
_SAVE_DESIRED = _THIS_MODEL.values(
    generation=sa.bindparam("new_generation"),
    # As text: it is as long as all signatures of what is held.
    published=sa.cast(sa.bindparam("new_published", type_=sa.Text), JSONB),
    desired=sa.cast(sa.bindparam("new_desired", type_=sa.Text), JSONB),
    traceparent=sa.func.coalesce(sa.bindparam("new_traceparent", type_=sa.Text), models.c.traceparent),
    updated_at=sa.func.now(),
)


async def save(
    tx: Transaction, serving: Serving, before: Model, after: Model, traceparent: str | None, now: datetime
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
        await tx.execute(_THIS_MODEL.values(spent=None), {"of": after.name})
    if after.replacement_asked_at != before.replacement_asked_at:
        await tx.execute(_THIS_MODEL.values(replacement_asked_at=after.replacement_asked_at), {"of": after.name})
    if after.frozen != before.frozen:
        await tx.execute(_THIS_MODEL.values(frozen=_as_json(after.frozen)), {"of": after.name})
    if after.generation == before.generation:
        return None
    state = _desired_state(after, await serving.held(tx, after))
    head = {
        "of": after.name,
        "new_generation": after.generation,
        "new_desired": msgspec.json.encode(after.desired).decode(),
        "new_published": msgspec.json.encode(state).decode(),
        "new_traceparent": traceparent,
    }
    await tx.execute(_SAVE_DESIRED, head)
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


def _desired_state(model: Model, held: list[e.HeldVersion]) -> e.DesiredState:
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
