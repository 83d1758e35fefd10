"""Writing what the monitor knows: history, views, usage, labels. Every function works within a transaction."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import Insert, insert

from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.contract.spec import ModelSpec, recorded_spec
from shipway.monitor.quality import Quality, watched_loss
from shipway.monitor.retirement import ServedVersion
from shipway.monitor.standing import Standing, Told, standing, takes
from shipway.monitor.tables import events, models, quality_totals, requests, signatures, usage, versions
from shipway.monitor.views import RequestChange, VersionChange, may_become, request_may_become
from shipway.runtime import trace
from shipway.runtime.database import Transaction

_OF_CHAMPIONS = (e.ReleasePromoted.type, e.ReleaseRolledBack.type)


async def record(tx: Transaction, event: Envelope) -> bool:
    """Adds an event to the history; of a training's progress only the newest is kept. False: it is there already."""
    payload = event.payload
    model = getattr(payload, "model", None)
    if isinstance(payload, e.TrainingProgressed):
        same = events.c.payload["request_id"].astext == payload.request_id
        # The type as text, not as a parameter: so that the partial index serves.
        progress = sa.text(f"type = '{e.TrainingProgressed.type}'")
        await tx.execute(sa.delete(events).where(progress, same, events.c.model == model, events.c.at <= event.time))
    row = {
        "event_id": event.id,
        "source": event.source,
        "type": payload.type,
        "model": model,
        "version": getattr(payload, "version", None),
        "at": event.time,
        "trace_id": trace.trace_id(event.traceparent),
        "payload": msgspec.to_builtins(payload),
    }
    return (await tx.execute(_RECORD, row)).rowcount == 1


async def declare(tx: Transaction, name: str, spec: dict[str, Any], at: datetime) -> None:
    """Keeps a model's newest declaration."""
    values = {"spec": spec, "declared_at": at}
    statement = insert(models).values(name=name, **values)
    newer = sa.or_(models.c.declared_at.is_(None), models.c.declared_at <= at)
    await tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values, where=newer))


async def is_newest(tx: Transaction, event: e.ReleaseProgressed) -> bool:
    """Whether the history has nothing of a later generation of the model's desired state."""
    generation = sa.cast(events.c.payload["generation"].astext, sa.BigInteger)
    of_releases = events.c.type.in_([e.ReleaseProgressed.type, e.ReleasePromoted.type, e.ReleaseRolledBack.type])
    later = sa.select(events.c.id).where(events.c.model == event.model, of_releases, generation > event.generation)
    return (await tx.execute(later.limit(1))).first() is None


async def change_version(
    tx: Transaction,
    model: str,
    change: VersionChange,
    at: datetime,
    traceparent: str | None = None,
    *,
    newest: bool = False,
) -> None:
    """Applies a change to a version's row, making it if need be; the first trace told of it is kept.

    ``newest``: it is later than what is known, whatever the clock says that it was told by.
    """
    row = await _version_for_update(tx, model, change.version)
    if newest:
        at = max(at, row.changed_at or at)
    columns = {k: msgspec.to_builtins(v) for k, v in change.columns.items()}
    if row.traceparent is None and traceparent is not None:
        columns["traceparent"] = traceparent
    if may_become(row.state, row.changed_at, change, at):
        columns |= {"state": change.state, "changed_at": at}
    elif change.state is not None:
        columns.pop("reason", None)
        columns.pop("share", None)
    if columns:
        await _set_version(tx, model, change.version, columns)


async def stand(tx: Transaction, model: str) -> Standing:
    """Gives the model its champion, and each version its place, by all that the releaser told."""
    if (await tx.execute(_LOCK_MODEL, {"of_model": model})).one_or_none() is None:
        await tx.execute(_ADD_MODEL, {"name": model})
        (await tx.execute(_LOCK_MODEL, {"of_model": model})).one()
    found = standing(await _told(tx, model))
    # Of all that ever served, without what is told of each: hardly any changes.
    known = {row.version: row for row in (await tx.execute(_STATES, {"of_model": model})).all()}
    for version, place in sorted(found.places.items()):
        row = known.get(version)
        if row is not None and not takes(row.state, row.changed_at, place):
            continue
        row = await _version_for_update(tx, model, version)
        if takes(row.state, row.changed_at, place):
            columns: dict[str, Any] = {"state": place.state, "changed_at": place.at}
            columns |= {"share": float(place.state == "champion"), "left_at": place.left_at or row.left_at}
            if place.promoted_at is not None:
                columns["promoted_at"] = min(row.promoted_at or place.promoted_at, place.promoted_at)
            await _set_version(tx, model, version, columns)
    values = {"champion": found.champion, "last_good": found.last_good}
    await tx.execute(sa.update(models).where(models.c.name == model).values(**values))
    return found


async def _told(tx: Transaction, model: str) -> list[Told]:
    return [
        Told(row.generation, row.at, "promoted", row.version, row.previous)
        if row.type == e.ReleasePromoted.type
        else Told(row.generation, row.at, "rolled back", row.version, row.champion)
        for row in (await tx.execute(_TOLD, {"of_model": model})).all()
    ]


async def change_request(tx: Transaction, model: str, change: RequestChange, at: datetime) -> None:
    """Applies a change to a training request's row, making it if need be; a late one only adds what is not known."""
    values = {"model": model, "state": change.state, "changed_at": at, **change.columns}
    row = (
        await tx.execute(sa.select(requests).where(requests.c.request_id == change.request_id).with_for_update())
    ).one_or_none()
    if row is None:
        await tx.execute(insert(requests).values(request_id=change.request_id, **values).on_conflict_do_nothing())
    else:
        if not request_may_become(row.state, row.changed_at, change.state, at):
            values = {name: value for name, value in change.columns.items() if row._mapping[name] is None}
        if values:
            await tx.execute(sa.update(requests).where(requests.c.request_id == change.request_id).values(**values))


async def add_usage(tx: Transaction, batch: pa.Table) -> None:
    """Adds a batch of prediction records to the counts by model, version, minute and outcome."""
    keyed = pa.table(
        {
            "model": batch["model"],
            "version": pc.fill_null(batch["version"], 0),
            "minute": pc.floor_temporal(batch["at"], unit="minute"),
            "outcome": batch["outcome"],
            "latency": batch["latency_us"],
            "at": batch["at"],
        }
    )
    grouped = keyed.group_by(_USAGE_KEY, use_threads=False).aggregate(
        [("latency", "count"), ("latency", "sum"), ("latency", "max"), ("at", "max")]
    )
    rows = sorted(grouped.to_pylist(), key=lambda row: [row[name] for name in _USAGE_KEY])
    counted = [
        {name: row[name] for name in _USAGE_KEY}
        | {"count": row["latency_count"], "latency_us_sum": row["latency_sum"], "latency_us_max": row["latency_max"]}
        for row in rows
    ]
    # Its other events may not have been read yet: the use counts all the same.
    used = [
        {"model": row["model"], "version": row["version"], "last_used": row["at_max"]}
        for row in rows
        if row["outcome"] == "answered" and row["version"]
    ]
    for statement, more in ((_ADD_USAGE, counted), (_NOTE_USE, used)):
        if more:
            await tx.execute(statement, more)


def _add_usage() -> Insert:
    statement = insert(usage)
    added = {
        "count": usage.c.count + statement.excluded.count,
        "latency_us_sum": usage.c.latency_us_sum + statement.excluded.latency_us_sum,
        "latency_us_max": sa.func.greatest(usage.c.latency_us_max, statement.excluded.latency_us_max),
    }
    return statement.on_conflict_do_update(index_elements=_USAGE_KEY, set_=added)


def _note_use() -> Insert:
    statement = insert(versions)
    latest = {"last_used": sa.func.greatest(versions.c.last_used, statement.excluded.last_used)}
    return statement.on_conflict_do_update(index_elements=["model", "version"], set_=latest)


# Made once: making them takes as long as the database takes to carry them out.
_USAGE_KEY = ["model", "version", "minute", "outcome"]
_ADD_USAGE, _NOTE_USE = _add_usage(), _note_use()


async def declared_models(tx: Transaction) -> list[Any]:
    """The rows of the models that have a declaration."""
    return list((await tx.execute(sa.select(models).where(models.c.spec.is_not(None)))).all())


async def spec_of(tx: Transaction, model: str) -> ModelSpec | None:
    """A model's newest declaration; None where there is none."""
    found = (await tx.execute(sa.select(models.c.spec).where(models.c.name == model))).scalar_one_or_none()
    return recorded_spec(found) if found is not None else None


async def served_versions(tx: Transaction, model: str) -> list[ServedVersion]:
    """A model's versions that retirement may concern."""
    labelled = sa.select(quality_totals.c.version, quality_totals.c.sums).where(quality_totals.c.model == model)
    losses = {row.version: watched_loss(Quality(**row.sums)) for row in (await tx.execute(labelled)).all()}
    approvals = (signatures.c.model == versions.c.model) & (signatures.c.version == versions.c.version)
    statement = (
        sa.select(versions, signatures.c.ndcg_at)
        .join(signatures, approvals, isouter=True)
        .where(versions.c.model == model, versions.c.promoted_at.is_not(None))
    )
    return [
        ServedVersion(
            version=row.version,
            state=row.state or "trained",
            promoted_at=row.promoted_at,
            left_at=row.left_at,
            last_used=row.last_used,
            degraded=row.degraded_at is not None,
            asked=row.retirement_asked_at is not None,
            loss=losses.get(row.version),
            ndcg_at=row.ndcg_at,
        )
        for row in (await tx.execute(statement)).all()
    ]


async def outcomes_since(tx: Transaction, model: str, version: int, since: datetime) -> dict[str, int]:
    """How many predictions of a version ended how, in the minutes from ``since`` on."""
    whole_minute = since.replace(second=0, microsecond=0)
    statement = (
        sa.select(usage.c.outcome, sa.func.sum(usage.c.count))
        .where(usage.c.model == model, usage.c.version == version, usage.c.minute >= whole_minute)
        .group_by(usage.c.outcome)
    )
    return {outcome: int(count) for outcome, count in (await tx.execute(statement)).all()}


async def mark(tx: Transaction, model: str, version: int, column: str, at: datetime) -> bool:
    """Sets a time of a version that is not set yet; False where it was."""
    this = (versions.c.model == model) & (versions.c.version == version) & versions.c[column].is_(None)
    return (await tx.execute(sa.update(versions).where(this).values({column: at}))).rowcount == 1


async def traceparent_of(tx: Transaction, model: str, version: int) -> str | None:
    """The trace that made the version, where it is known."""
    this = (versions.c.model == model) & (versions.c.version == version)
    found: str | None = (await tx.execute(sa.select(versions.c.traceparent).where(this))).scalar_one_or_none()
    return found


async def forget_before(tx: Transaction, now: datetime, keep: timedelta = timedelta(days=400)) -> None:
    """Removes history that is too old, but for what says who is champion."""
    await tx.execute(sa.delete(events).where(events.c.at < now - keep, events.c.type.not_in(_OF_CHAMPIONS)))
    await tx.execute(sa.delete(usage).where(usage.c.minute < now - keep))


async def _version_for_update(tx: Transaction, model: str, version: int) -> Any:
    this = {"of_model": model, "of_version": version}
    row = (await tx.execute(_LOCK_VERSION, this)).one_or_none()
    if row is None:
        await tx.execute(_ADD_VERSION, {"model": model, "version": version})
        row = (await tx.execute(_LOCK_VERSION, this)).one()
    return row


async def _set_version(tx: Transaction, model: str, version: int, columns: dict[str, Any]) -> None:
    await tx.execute(_SET_VERSION, {"of_model": model, "of_version": version} | columns)


def _told_of_champions() -> Select[Any]:
    told = events.c.payload
    columns: list[sa.ColumnElement[Any]] = [events.c.type, events.c.version, events.c.at]
    named = (
        ("generation", "generation", sa.BigInteger),
        ("previous", "previous_version", sa.Integer),
        ("champion", "champion_version", sa.Integer),
    )
    columns += [sa.cast(told[field].astext, kind).label(name) for name, field, kind in named]
    of_champions = events.c.type.in_([sa.literal_column(f"'{kind}'") for kind in _OF_CHAMPIONS])
    return sa.select(*columns).where(events.c.model == sa.bindparam("of_model"), of_champions)


# Made once, as those of usage.
_RECORD = insert(events).inline().on_conflict_do_nothing()
_ADD_MODEL, _ADD_VERSION = insert(models).on_conflict_do_nothing(), insert(versions).on_conflict_do_nothing()
_LOCK_MODEL = sa.select(models.c.name).where(models.c.name == sa.bindparam("of_model")).with_for_update()
_STATES = sa.select(versions.c.version, versions.c.state, versions.c.changed_at).where(
    versions.c.model == sa.bindparam("of_model")
)
_THIS_VERSION = (versions.c.model == sa.bindparam("of_model")) & (versions.c.version == sa.bindparam("of_version"))
_LOCK_VERSION = sa.select(versions).where(_THIS_VERSION).with_for_update()
_SET_VERSION = sa.update(versions).where(_THIS_VERSION)
_TOLD = _told_of_champions()
