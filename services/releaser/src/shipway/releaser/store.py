"""A model's way out of the tables and back. Whatever changes a model holds the lock of its row."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract import events as e
from shipway.contract import spec
from shipway.contract.errors import InvalidField
from shipway.releaser.state import IN_PROGRESS, Desired, Evidence, Hold, Model, Order, Quality, Release, Version
from shipway.releaser.tables import models, orders, releases, versions
from shipway.runtime.database import Transaction


@dataclass(frozen=True)
class Stored:
    """A model as it is stored, with each release's trace and time of approval, by version, and each order's trace."""

    model: Model
    traceparents: dict[int, str | None]
    approved_at: dict[int, datetime]
    order_traces: dict[str, str | None] = field(default_factory=dict)


async def approve(
    tx: Transaction,
    event: e.ModelApproved,
    policy: spec.Release,
    at: datetime,
    traceparent: str | None,
    keep_bundle_s: float | None = None,
) -> bool:
    """Records the version and its waiting release, on hold where the event says so; False: both are known already.

    ``keep_bundle_s``: once retired and gone, its bundle is kept so long; None: for ever.

    Raises:
        InvalidField: the version is known with another artifact.
    """
    new = insert(models).values(model=event.model, desired=msgspec.to_builtins(Desired()))
    await tx.execute(new.on_conflict_do_nothing())
    await _lock(tx, event.model)
    known = sa.select(versions.c.digest).where(versions.c.model == event.model, versions.c.version == event.version)
    digest = (await tx.execute(known)).scalar()
    if digest is not None:
        if digest != event.digest:
            raise InvalidField("digest", f"version {event.version} of {event.model} is known with digest {digest}")
        return False
    await tx.execute(
        sa.insert(versions).values(
            model=event.model,
            version=event.version,
            digest=event.digest,
            signature=event.signature,
            prediction_log=event.prediction_log,
            role="waiting",
            keep_bundle_s=keep_bundle_s,
        )
    )
    why = event.hold or ("release.approval is manual" if policy.approval == "manual" else "")
    hold = msgspec.to_builtins(Hold("approval", why, at)) if why else None
    await tx.execute(
        sa.insert(releases).values(
            id=f"{event.model}-{event.version}",
            model=event.model,
            version=event.version,
            policy=policy.model_dump(mode="json"),
            state="approved",
            since=at,
            evidence=msgspec.to_builtins(Evidence()),
            hold=hold,
            traceparent=traceparent,
            approved_at=at,
        )
    )
    return True


async def flag(tx: Transaction, model: str, version: int, *, column: str, reason: str) -> None:
    """Says of a version that it is ``degraded`` or ``retiring``, and why; the first reason stays.

    Raises:
        InvalidField: there is no such version here.
    """
    await _lock(tx, model)
    noted = versions.c[column]
    this = (versions.c.model == model, versions.c.version == version)
    statement = sa.update(versions).where(*this).values({column: sa.func.coalesce(noted, reason)})
    if (await tx.execute(statement)).rowcount == 0:
        raise InvalidField("version", f"{model} has no approved version {version}; nothing to change")


async def measured(tx: Transaction, event: e.QualityMeasured) -> None:
    """Keeps what labels say of a version; a reading of fewer labels than are known is an old one, and changes nothing.

    Raises:
        InvalidField: there is no such version here.
    """
    await _lock(tx, event.model)
    this = (versions.c.model == event.model) & (versions.c.version == event.version)
    row = (await tx.execute(sa.select(versions.c.quality).where(this))).one_or_none()
    if row is None:
        raise InvalidField("version", f"{event.model} has no approved version {event.version}; nothing to measure")
    if _quality(row.quality).labelled <= event.labelled:
        quality = msgspec.to_builtins(Quality(event.labelled, event.loss_sum))
        await tx.execute(sa.update(versions).where(this).values(quality=quality))


async def budget(tx: Transaction, event: e.BudgetChanged) -> bool:
    """Notes that a level's error budget is spent and holds releases. Where that was the last that did so no more, an
    order to resume waits, as a person could give it: so the clock of a release that was held begins anew. False: no
    such model is known here.
    """
    await _lock(tx, event.model)
    this = models.c.model == event.model
    row = (await tx.execute(sa.select(models.c.spent).where(this))).one_or_none()
    if row is None:
        return False
    before = row.spent or {}
    spent = {level: hold for level, hold in before.items() if level != event.level}
    if event.state == "spent" and event.hold_releases:
        spent[event.level] = msgspec.to_builtins(Hold("budget", event.reason, event.changed_at))
    if spent:
        await tx.execute(sa.update(models).where(this).values(spent=spent))
    elif before:
        resume = e.OperatorCommand(
            model=event.model,
            command_id=f"budget-{event.model}-{event.changed_at.isoformat()}",
            action="resume",
            reason=event.reason,
            requested_by="shipway/monitor",
        )
        await order(tx, resume, None)
    return True


async def order(tx: Transaction, command: e.OperatorCommand, traceparent: str | None) -> bool:
    """Keeps an operator's command until it is obeyed or refused; False where no such model is known here."""
    if (await tx.execute(sa.select(models.c.model).where(models.c.model == command.model))).scalar() is None:
        return False
    values = {name: getattr(command, name) for name in ("command_id", "model", "action", "version", "reason")}
    new = insert(orders).values(**values, requested_by=command.requested_by, traceparent=traceparent)
    await tx.execute(new.on_conflict_do_nothing())
    return True


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


async def save(
    tx: Transaction, before: Model, after: Model, traceparent: str | None, now: datetime
) -> e.DesiredState | None:
    """Writes what differs, as of ``now``; gives the desired state to publish where its generation grew."""
    for number, version in after.versions.items():
        if version != before.versions.get(number):
            values = {name: getattr(version, name) for name in _CHANGING_VERSION_COLUMNS}
            values["gone_at"] = sa.func.coalesce(versions.c.gone_at, now) if version.role == "gone" else None
            this = (versions.c.model == after.name, versions.c.version == number)
            await tx.execute(sa.update(versions).where(*this).values(values))
    # A release that ends comes before the next that begins: only one may be in progress.
    for release in sorted(after.releases.values(), key=lambda r: r.state in IN_PROGRESS):
        if release != before.releases.get(release.version):
            values = {name: getattr(release, name) for name in _CHANGING_RELEASE_COLUMNS}
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
_CHANGING_VERSION_COLUMNS = ["role", "degraded", "retiring", "deferred", "routed_until", "pinned", "replacement_asked"]
_RELEASE_COLUMNS = ["id", "policy", "state", "step", "since", "deadline", "evidence", "reason", "hold"]
_CHANGING_RELEASE_COLUMNS = ["state", "step", "since", "deadline", "reason"]


_named_by_orders = sa.select(orders.c.model, orders.c.version)


async def _lock(tx: Transaction, model: str) -> None:
    await tx.execute(sa.select(models.c.model).where(models.c.model == model).with_for_update())


def _with_row(stored: Stored, row: Any) -> Stored:
    plain: dict[str, Any] = {name: getattr(row, name) for name in _VERSION_COLUMNS[1:]}
    version = Version(row.version, quality=_quality(row.quality), **plain)
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


def _quality(raw: Any) -> Quality:
    return Quality() if raw is None else msgspec.convert(raw, Quality)


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
