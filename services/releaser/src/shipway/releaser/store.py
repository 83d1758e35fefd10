"""What events do to a model's tables, before a look decides. Whatever changes a model holds the lock of its row."""

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract import events as e
from shipway.contract import spec
from shipway.contract.errors import InvalidField
from shipway.releaser.counts import Evidence, Quality
from shipway.releaser.state import Desired, Hold
from shipway.releaser.tables import models, orders, releases, versions
from shipway.runtime.database import Transaction

_LOCK = sa.select(models.c.model).where(models.c.model == sa.bindparam("of")).with_for_update()
_NEW_VERSION = insert(versions).on_conflict_do_nothing()
_NEW_RELEASE = insert(releases)


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
    if not await _lock(tx, event.model):
        new = insert(models).values(model=event.model, desired=msgspec.to_builtins(Desired()))
        await tx.execute(new.on_conflict_do_nothing())
        await _lock(tx, event.model)
    version = {
        "model": event.model,
        "version": event.version,
        "digest": event.digest,
        "signature": event.signature,
        "prediction_log": event.prediction_log,
        "role": "waiting",
        "keep_bundle_s": keep_bundle_s,
    }
    if (await tx.execute(_NEW_VERSION, version)).rowcount == 0:
        this = (versions.c.model == event.model, versions.c.version == event.version)
        digest = (await tx.execute(sa.select(versions.c.digest).where(*this))).scalar_one()
        if digest != event.digest:
            raise InvalidField("digest", f"version {event.version} of {event.model} is known with digest {digest}")
        return False
    why = event.hold or ("release.approval is manual" if policy.approval == "manual" else "")
    hold = msgspec.to_builtins(Hold("approval", why, at)) if why else None
    release = {
        "id": f"{event.model}-{event.version}",
        "model": event.model,
        "version": event.version,
        "policy": policy.model_dump(mode="json"),
        "state": "approved",
        "since": at,
        "evidence": msgspec.to_builtins(Evidence()),
        "hold": hold,
        "traceparent": traceparent,
        "approved_at": at,
    }
    await tx.execute(_NEW_RELEASE, release)
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
    if msgspec.convert(row.quality or {}, Quality).labelled <= event.labelled:
        quality = msgspec.to_builtins(Quality(event.labelled, event.loss_sum, event.ndcg_at))
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


async def _lock(tx: Transaction, model: str) -> bool:
    """Waits for the model's row and holds it; False: there is none."""
    return (await tx.execute(_LOCK, {"of": model})).scalar() is not None
