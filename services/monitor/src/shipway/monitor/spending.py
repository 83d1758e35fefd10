"""What follows from service levels: budgets that are spent are told, requests are asked for again. In a transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import BudgetChanged, TrainingRequested
from shipway.contract.spec import ModelSpec
from shipway.monitor.budgets import is_spent
from shipway.monitor.conditions import spent_words
from shipway.monitor.measuring import Measured
from shipway.monitor.tables import events, level_states, phases
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import emit

AGAIN = "again-"


async def claim(tx: Transaction, model: str, now: datetime, beat: timedelta) -> bool:
    """Whether a model is looked at in this transaction: it is in no other hands, and was not looked at just now."""
    new = insert(level_states).values(model=model, looked_at=now - beat).on_conflict_do_nothing()
    await tx.execute(new)
    rested = (level_states.c.model == model) & (level_states.c.looked_at <= now - beat / 2)
    free = sa.select(level_states.c.model).where(rested).with_for_update(skip_locked=True)
    if (await tx.execute(free)).one_or_none() is None:
        return False
    await tx.execute(sa.update(level_states).where(level_states.c.model == model).values(looked_at=now))
    return True


async def tell(
    tx: Transaction, source: str, model: str, spec: ModelSpec, measured: Sequence[Measured], now: datetime
) -> int:
    """Tells of budgets that may hold releases, where they are spent since the last look, or there is some again."""
    said = spec.service_levels
    before = await spent(tx, model)
    of_level = {one.level.name: one for one in measured if one.level.holds_releases}
    hold = said.on_budget_spent == "hold"
    gone = {
        name: hold
        for name, one in of_level.items()
        if is_spent(one.budget, before=name in before, least=one.level.least)
    }
    told = 0
    for name in sorted(gone.keys() | before.keys()):
        if gone.get(name) == before.get(name):
            continue
        one = of_level.get(name)
        words = (
            spent_words(one.level, one.budget, said.budget_window) if one is not None else f"{name} is no level more"
        )
        changed = BudgetChanged(
            model=model,
            level=name,
            state="spent" if name in gone else "back",
            left=one.budget.left if one is not None else 1.0,
            hold_releases=gone.get(name, False),
            reason=words,
            changed_at=now,
        )
        await emit(tx, source, changed)
        told += 1
    if told:
        await tx.execute(sa.update(level_states).where(level_states.c.model == model).values(spent=gone))
    return told


async def spent(tx: Transaction, model: str) -> dict[str, bool]:
    """The levels of a model whose budget was told to be spent, and whether that holds releases."""
    known = sa.select(level_states.c.spent).where(level_states.c.model == model)
    found: dict[str, bool] | None = (await tx.execute(known)).scalar_one_or_none()
    return found or {}


async def ask_again(tx: Transaction, source: str, model: str, within: timedelta, now: datetime) -> int:
    """Asks once more for what was asked for and is not accepted in ``within``, or failed since; gives how many.

    Not accepted: the same request, which a trainer takes once. Failed: a new one for the same data.
    """
    waits = (phases.c.phase == "accepted") & phases.c.ended_at.is_(None) & (phases.c.begun_at < now - within)
    failed = (phases.c.phase == "trained") & phases.c.ended_at.is_(None) & (phases.c.outcome == "failed")
    this = (phases.c.model == model) & phases.c.retried_at.is_(None) & (phases.c.begun_at > now - timedelta(days=1))
    told = 0
    for run in (await tx.execute(sa.select(phases).where(this, sa.or_(waits, failed)).with_for_update())).all():
        key = (phases.c.model == model) & (phases.c.phase == run.phase) & (phases.c.subject == run.subject)
        await tx.execute(sa.update(phases).where(key).values(retried_at=now))
        asked = await _request(tx, model, run.subject)
        if asked is None or (run.phase == "trained" and asked.request_id.startswith(AGAIN)):
            continue
        if run.phase == "trained":
            again = {"request_id": f"{AGAIN}{asked.request_id}", "requested_by": source}
            asked = msgspec.structs.replace(asked, **again, reason=f"{asked.request_id} failed; it is tried once more")
        await emit(tx, source, asked)
        told += 1
    return told


async def _request(tx: Transaction, model: str, request_id: str) -> TrainingRequested | None:
    of_type = (events.c.type == TrainingRequested.type) & (events.c.model == model)
    this = of_type & (events.c.payload["request_id"].astext == request_id)
    payload = (await tx.execute(sa.select(events.c.payload).where(this).limit(1))).scalar_one_or_none()
    return msgspec.convert(payload, TrainingRequested) if payload is not None else None
