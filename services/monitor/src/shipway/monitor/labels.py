"""Labels in PostgreSQL: taken in, looked for, counted. Every function works within a transaction.

A row is a label, not a prediction: a prediction's row would cost more than all the rest of its record. A label is *due*
while the sums do not hold it, *found* once its prediction is known, and gone when it is too old to change.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from shipway.contract.spec import Labels
from shipway.monitor import partsums
from shipway.monitor.labelling import Label, arrive
from shipway.monitor.quality import Judge, Quality
from shipway.monitor.tables import label_counts, label_files, labels, models, quality, quality_totals
from shipway.runtime.database import Transaction

LONGEST_PAUSE_S = 3600
_LOCK = 0x5348_4C42  # "SHLB": one writer a model at a time
_DUE = sa.text("labels.counted is distinct from labels.label")


@dataclass(frozen=True)
class Answer:
    """What a prediction said: the version that gave it, when, its numbers, and the ``parts`` of the traffic that it is
    in (None: they are not counted).
    """

    version: int
    at: datetime
    scores: tuple[float, ...]
    parts: tuple[str, ...] | None = None


async def take(tx: Transaction, model: str, coming: Iterable[Label]) -> None:
    """Takes labels in, beside those that are known already."""
    await _alone(tx, model)
    came = list(coming)
    ids = [label.prediction_id for label in came]
    rows = (await tx.execute(sa.select(labels).where(_among(ids)))).all()
    known = {r.prediction_id: Label(r.model, r.prediction_id, r.label, r.observed_at, r.times) for r in rows}
    arrival = arrive(known, came)
    written = [
        {"model": one.model, "prediction_id": one.prediction_id, "label": one.value, "times": one.times}
        | {"observed_at": one.observed_at}
        for _, one in sorted(arrival.write.items())
    ]
    if written:
        statement = insert(labels)
        new = statement.excluded
        changed = {"label": new.label, "times": new.times, "observed_at": new.observed_at, "due_at": sa.func.now()}
        where = labels.c.model == new.model
        put = statement.on_conflict_do_update(index_elements=["prediction_id"], set_=changed, where=where)
        await tx.execute(put, written)
    await count(tx, model, arrival.counts)


async def count(tx: Transaction, model: str, counts: Mapping[str, int]) -> None:
    """Adds to the counts of what became of a model's labels."""
    for what, number in sorted(counts.items()):
        statement = insert(label_counts).values(model=model, what=what, count=number)
        more = {"count": label_counts.c.count + statement.excluded.count}
        await tx.execute(statement.on_conflict_do_update(index_elements=["model", "what"], set_=more))


async def models_due(tx: Transaction) -> list[str]:
    """The models that have labels to look at now."""
    statement = sa.select(labels.c.model).where(_DUE, labels.c.due_at <= sa.func.now()).distinct()
    return sorted((await tx.execute(statement)).scalars())


async def due(tx: Transaction, model: str, limit: int, again_s: float) -> list[Any]:
    """The rows of labels to look at now. They are due again after a pause, which doubles each time, up to an hour:
    so other monitors leave them alone meanwhile, and labels without a prediction cost less and less.
    """
    these = (
        sa.select(labels.c.prediction_id)
        .where(_DUE, labels.c.model == model, labels.c.due_at <= sa.func.now())
        .order_by(labels.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    pause_s = sa.func.least(again_s * sa.func.power(2, sa.func.least(labels.c.tries, 30)), LONGEST_PAUSE_S)
    later = {"due_at": sa.func.now() + pause_s * sa.text("interval '1 second'"), "tries": labels.c.tries + 1}
    statement = sa.update(labels).where(labels.c.prediction_id.in_(these)).values(**later).returning(labels)
    return list((await tx.execute(statement)).all())


async def settle(
    tx: Transaction, model: str, answers: Mapping[str, Answer], judges: Mapping[int, Judge], rule: Labels, now: datetime
) -> None:
    """Counts labels whose answers are known; a label that has changed is taken off as it was, and added as it is."""
    await _alone(tx, model)
    these = sa.select(labels).where(_among(list(answers)), _DUE).with_for_update()
    counts: Counter[str] = Counter()
    sums: defaultdict[tuple[int, datetime], Quality] = defaultdict(Quality)
    of_parts: defaultdict[tuple[int, datetime, str], Quality] = defaultdict(Quality)
    found, too_old = [], []
    for row in (await tx.execute(these)).all():
        answer = answers[row.prediction_id]
        judge = judges.get(answer.version)
        if judge is None:
            continue
        delay = row.received_at - answer.at
        if now - answer.at > rule.within:
            counts["too old"] += 1
            too_old.append(row.prediction_id)
            continue
        if not judge.judges:
            counts["not judged"] += row.counted is None
            found.append((row, answer))
            continue
        hour = answer.at.replace(minute=0, second=0, microsecond=0)
        places = [sums[answer.version, hour]]
        if answer.parts:
            places += [of_parts[answer.version, hour, part] for part in (partsums.WHOLE, *answer.parts)]
        if row.counted is None:
            counts["late"] += delay > rule.mature_after
        elif (before := judge.judge(answer.scores, row.counted)) is not None:
            for place in places:
                place.count(before, delay, -1)
        if (judged := judge.judge(answer.scores, row.label)) is not None:
            for place in places:
                place.count(judged, delay)
        else:
            counts["misfit"] += 1
        found.append((row, answer))
    await _delete(tx, too_old)
    await _mark_counted(tx, found)
    await count(tx, model, +counts)
    await _add_sums(tx, model, sums)
    await partsums.add(tx, model, of_parts)
    for day in {answer.at.astimezone(UTC).date() for _, answer in found}:
        await _change_day(tx, model, day)


async def give_up(tx: Transaction, model: str, ids: Collection[str]) -> None:
    """Counts labels whose predictions were not found in time as orphans, and lets them go."""
    await _alone(tx, model)
    gone = await _delete(tx, ids)
    await count(tx, model, {"orphan": gone} if gone else {})


async def remove(tx: Transaction, model: str, ids: Collection[str]) -> list[str]:
    """Removes the labels of a model's predictions; gives the ids of those there were. Sums keep what they count."""
    await _alone(tx, model)
    these = sa.delete(labels).where(_among(list(ids)), labels.c.model == model)
    return list((await tx.execute(these.returning(labels.c.prediction_id))).scalars())


async def forget(tx: Transaction, model: str, older_than: datetime) -> None:
    """Removes labels that can't change any more, once they are in the file of their day."""
    unwritten = sa.select(label_files.c.day).where(
        label_files.c.model == model, label_files.c.changes != label_files.c.written_changes
    )
    day = sa.cast(sa.func.timezone("UTC", labels.c.predicted_at), sa.Date)
    old = (labels.c.model == model) & (labels.c.predicted_at < older_than) & day.not_in(unwritten)
    await tx.execute(sa.delete(labels).where(old))


async def waiting(tx: Transaction, model: str) -> int:
    """How many labels are not counted yet."""
    statement = sa.select(sa.func.count()).select_from(labels).where(labels.c.model == model, _DUE)
    return int((await tx.execute(statement)).scalar_one())


async def loss_scale(tx: Transaction, model: str, proposed: float) -> float:
    """The error of a model's regression that is a loss of 1: the first that was proposed, the same for all versions,
    for losses of different scales can't be compared.
    """
    statement = insert(models).values(name=model, loss_scale=proposed)
    first = {"loss_scale": sa.func.coalesce(models.c.loss_scale, statement.excluded.loss_scale)}
    kept = statement.on_conflict_do_update(index_elements=["name"], set_=first).returning(models.c.loss_scale)
    return float((await tx.execute(kept)).scalar_one())


def bounds_of_day(day: date) -> tuple[datetime, datetime]:
    """A UTC day's first moment, and the next one's."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return begin, begin + timedelta(days=1)


def _among(ids: list[str]) -> sa.ColumnElement[bool]:
    """With one of so many ids: as one value, for a statement takes 32,767 at most."""
    return labels.c.prediction_id == sa.any_(sa.literal(ids, sa.ARRAY(sa.Text)))


async def _alone(tx: Transaction, model: str) -> None:
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, sa.func.hashtext(model))))


async def _delete(tx: Transaction, ids: Collection[str]) -> int:
    if not ids:
        return 0
    return (await tx.execute(sa.delete(labels).where(_among(list(ids)), _DUE))).rowcount


async def _mark_counted(tx: Transaction, found: list[tuple[Any, Answer]]) -> None:
    """Notes what the sums hold now, since when, and what they held before: so that the past can be told."""
    if not found:
        return
    this = labels.c.prediction_id == sa.bindparam("id")
    values: dict[str, Any] = {
        "version": sa.bindparam("v"),
        "predicted_at": sa.bindparam("at"),
        "scores": sa.bindparam("numbers"),
        "settled_at": sa.func.now(),
        "earlier": sa.bindparam("before", type_=JSONB(none_as_null=True)),
        "parts": sa.bindparam("of_parts", type_=JSONB(none_as_null=True)),
    }
    rows = [
        {"id": row.prediction_id, "v": answer.version, "at": answer.at, "numbers": list(answer.scores)}
        | {"said": row.label, "before": _earlier(row)}
        | {"of_parts": list(answer.parts) if answer.parts is not None else None}
        for row, answer in found
    ]
    await tx.execute(sa.update(labels).where(this).values(**values, counted=sa.bindparam("said")), rows)


def _earlier(row: Any) -> list[dict[str, Any]] | None:
    if row.counted is None:
        return None
    since = row.settled_at or row.received_at
    return [*(row.earlier or ()), {"label": row.counted, "settled_at": since.isoformat()}]


async def _add_sums(tx: Transaction, model: str, sums: Mapping[tuple[int, datetime], Quality]) -> None:
    totals: defaultdict[int, list[tuple[datetime, Quality]]] = defaultdict(list)
    for (version, hour), change in sorted(sums.items(), key=lambda item: item[0]):
        key = {"model": model, "version": version, "hour": hour}
        this = (quality.c.model == model) & (quality.c.version == version) & (quality.c.hour == hour)
        kept = (await tx.execute(sa.select(quality.c.sums).where(this))).scalar_one_or_none()
        total = Quality(**kept or {})
        total.add(change)
        statement = insert(quality).values(**key, sums=asdict(total))
        put = statement.on_conflict_do_update(index_elements=list(key), set_={"sums": statement.excluded.sums})
        await tx.execute(put)
        totals[version].append((hour, change))
    for version, changes in totals.items():
        await _add_total(tx, model, version, changes)


async def _add_total(tx: Transaction, model: str, version: int, changes: list[tuple[datetime, Quality]]) -> None:
    this = (quality_totals.c.model == model) & (quality_totals.c.version == version)
    kept = (await tx.execute(sa.select(quality_totals).where(this))).one_or_none()
    total = Quality(**kept.sums) if kept is not None else Quality()
    for _, change in changes:
        total.add(change)
    first = min(hour for hour, _ in changes)
    last = max(hour for hour, _ in changes) + timedelta(hours=1)
    values = {"sums": asdict(total), "predicted_from": first, "predicted_to": last, "changes": 1}
    statement = insert(quality_totals).values(model=model, version=version, **values)
    put = {
        "sums": statement.excluded.sums,
        "predicted_from": sa.func.least(quality_totals.c.predicted_from, first),
        "predicted_to": sa.func.greatest(quality_totals.c.predicted_to, last),
        "changes": quality_totals.c.changes + 1,
    }
    await tx.execute(statement.on_conflict_do_update(index_elements=["model", "version"], set_=put))


async def _change_day(tx: Transaction, model: str, day: date) -> None:
    statement = insert(label_files).values(model=model, day=day, changes=1)
    more = {"changes": label_files.c.changes + 1}
    await tx.execute(statement.on_conflict_do_update(index_elements=["model", "day"], set_=more))
