"""Labels whose predictions are known, into the sums of quality; within a transaction.

A label that has changed is taken off the sums as it was, and added as it is, so that the past can be told.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from shipway.contract.spec import Labels
from shipway.monitor import partsums, queries
from shipway.monitor.labelling import Answer
from shipway.monitor.labels import DUE, alone, among, count, let_go
from shipway.monitor.quality import Judge, Quality
from shipway.monitor.rankings import relevance
from shipway.monitor.tables import label_files, labels, models, quality, quality_totals
from shipway.runtime.database import Transaction


async def settle(
    tx: Transaction, model: str, answers: Mapping[str, Answer], judges: Mapping[int, Judge], rule: Labels, now: datetime
) -> None:
    """Counts labels whose answers are known; a label that has changed is taken off as it was, and added as it is.

    Those of a ranking's rows count once all of their query have one.
    """
    await alone(tx, model)
    these = sa.select(labels).where(among(list(answers)), DUE).with_for_update()
    counts: Counter[str] = Counter()
    sums: defaultdict[tuple[int, datetime], Quality] = defaultdict(Quality)
    of_parts: defaultdict[tuple[int, datetime, str], Quality] = defaultdict(Quality)
    found, too_old, of_queries = [], [], []
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
        if judge.ndcg_at is not None:
            if answer.query is None:
                continue
            counts["late"] += row.counted is None and delay > rule.mature_after
            counts["not judged"] += row.counted is None and not answer.query
            counts["misfit"] += relevance(row.label) is None
            of_queries += [(row, answer)] if answer.query else []
            found.append((row, answer))
            continue
        hour = _hour(answer.at)
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
    await let_go(tx, too_old)
    changed = await queries.changes(tx, model, of_queries, judges) if of_queries else []
    for version, standing, times in queries.both(changed):
        if standing.state != "partial":
            standing.count(sums[version, _hour(standing.at)], times)
    counts.update(queries.counts(changed))
    await _mark_counted(tx, found)
    await count(tx, model, counts)
    await _add_sums(tx, model, sums)
    await partsums.add(tx, model, of_parts)
    for day in {answer.at.astimezone(UTC).date() for _, answer in found}:
        await _change_day(tx, model, day)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


async def loss_scale(tx: Transaction, model: str, proposed: float) -> float:
    """The error of a model's regression that is a loss of 1: the first that was proposed, the same for all versions,
    for losses of different scales can't be compared.
    """
    statement = insert(models).values(name=model, loss_scale=proposed)
    first = {"loss_scale": sa.func.coalesce(models.c.loss_scale, statement.excluded.loss_scale)}
    kept = statement.on_conflict_do_update(index_elements=["name"], set_=first).returning(models.c.loss_scale)
    return float((await tx.execute(kept)).scalar_one())


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
        "query": sa.bindparam("of_query"),
        "query_rows": sa.bindparam("rows"),
    }
    rows = [
        {"id": row.prediction_id, "v": answer.version, "at": answer.at, "numbers": list(answer.scores)}
        | {"said": row.label, "before": _earlier(row)}
        | {"of_parts": list(answer.parts) if answer.parts is not None else None}
        | {"of_query": answer.query or None, "rows": answer.query_rows if answer.query else None}
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
