"""Labels in PostgreSQL: taken in, looked for, counted. Every function works within a transaction.

A row is a label, not a prediction: a prediction's row would cost more than all the rest of its record. A label is *due*
while the sums do not hold it, *found* once its prediction is known, and gone when it is too old to change.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.monitor.labelling import Label, arrive
from shipway.monitor.tables import label_counts, label_files, labels
from shipway.runtime.database import Transaction

LONGEST_PAUSE_S = 3600
_LOCK = 0x5348_4C42  # "SHLB": one writer a model at a time
DUE = sa.text("labels.counted is distinct from labels.label")


async def take(tx: Transaction, model: str, coming: Iterable[Label]) -> None:
    """Takes labels in, beside those that are known already."""
    await alone(tx, model)
    came = list(coming)
    ids = [label.prediction_id for label in came]
    rows = (await tx.execute(sa.select(labels).where(among(ids)))).all()
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
        if not number:
            continue
        statement = insert(label_counts).values(model=model, what=what, count=number)
        more = {"count": label_counts.c.count + statement.excluded.count}
        await tx.execute(statement.on_conflict_do_update(index_elements=["model", "what"], set_=more))


async def models_due(tx: Transaction) -> list[str]:
    """The models that have labels to look at now."""
    statement = sa.select(labels.c.model).where(DUE, labels.c.due_at <= sa.func.now()).distinct()
    return sorted((await tx.execute(statement)).scalars())


async def due(tx: Transaction, model: str, limit: int, again_s: float) -> list[Any]:
    """The rows of labels to look at now. They are due again after a pause, which doubles each time, up to an hour:
    so other monitors leave them alone meanwhile, and labels without a prediction cost less and less.
    """
    these = (
        sa.select(labels.c.prediction_id)
        .where(DUE, labels.c.model == model, labels.c.due_at <= sa.func.now())
        .order_by(labels.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    pause_s = sa.func.least(again_s * sa.func.power(2, sa.func.least(labels.c.tries, 30)), LONGEST_PAUSE_S)
    later = {"due_at": sa.func.now() + pause_s * sa.text("interval '1 second'"), "tries": labels.c.tries + 1}
    statement = sa.update(labels).where(labels.c.prediction_id.in_(these)).values(**later).returning(labels)
    return list((await tx.execute(statement)).all())


async def give_up(tx: Transaction, model: str, ids: Collection[str]) -> None:
    """Counts labels whose predictions were not found in time as orphans, and lets them go."""
    await alone(tx, model)
    gone = await let_go(tx, ids)
    await count(tx, model, {"orphan": gone} if gone else {})


async def remove(tx: Transaction, model: str, ids: Collection[str]) -> list[str]:
    """Removes the labels of a model's predictions; gives the ids of those there were. Sums keep what they count."""
    await alone(tx, model)
    these = sa.delete(labels).where(among(list(ids)), labels.c.model == model)
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
    statement = sa.select(sa.func.count()).select_from(labels).where(labels.c.model == model, DUE)
    return int((await tx.execute(statement)).scalar_one())


def bounds_of_day(day: date) -> tuple[datetime, datetime]:
    """A UTC day's first moment, and the next one's."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return begin, begin + timedelta(days=1)


def among(ids: list[str]) -> sa.ColumnElement[bool]:
    """With one of so many ids: as one value, for a statement takes 32,767 at most."""
    return labels.c.prediction_id == sa.any_(sa.literal(ids, sa.ARRAY(sa.Text)))


async def alone(tx: Transaction, model: str) -> None:
    """Waits until nobody else changes the model's labels, and keeps it so until the transaction is over."""
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, sa.func.hashtext(model))))


async def let_go(tx: Transaction, ids: Collection[str]) -> int:
    """Removes those of the labels that the sums do not hold; gives how many."""
    if not ids:
        return 0
    return (await tx.execute(sa.delete(labels).where(among(list(ids)), DUE))).rowcount
