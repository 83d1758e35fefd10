"""Judges the combinations of a model's days, each once its records are in the history. Within a transaction.

A day waits for the object store, as its files do, and windows do not wait for it: so it has a state of its own.
"""

from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa

from shipway.contract.spec import ModelSpec
from shipway.monitor import alerts, combinationstore, findings, judgement, newness
from shipway.monitor.judgement import NEW_COMBINATIONS, WHOLE_MODEL
from shipway.monitor.tables import watch_states
from shipway.runtime.database import Transaction

_DAY = timedelta(days=1)
LONGEST_WAIT = timedelta(days=1)  # for records that can't be filed; then a day is judged by what is there
AT_ONCE = 30


async def step(tx: Transaction, source: str, model: str, spec: ModelSpec, until: datetime) -> bool:
    """Judges the days that end by ``until``, whose row of watch_states is this transaction's; True where there are
    more.
    """
    this = watch_states.c.model == model
    known = (await tx.execute(sa.select(watch_states.c.combined_to).where(this))).scalar_one_or_none()
    day = known or await combinationstore.first_day(tx, model)
    if day is None:
        return False
    day = max(day, (until - newness.LOOK_BACK * _DAY).date())
    more = False
    for _ in range(AT_ONCE):
        end = _end_of(day)
        late = until >= end + LONGEST_WAIT
        more = end <= until and (late or not await combinationstore.waits(tx, model, day))
        if not more:
            break
        await _judge(tx, source, model, spec, day, end)
        day += _DAY
    if day != known:
        await tx.execute(sa.update(watch_states).where(this).values(combined_to=day))
    return more


async def _judge(tx: Transaction, source: str, model: str, spec: ModelSpec, day: date, end: datetime) -> None:
    shares = {name: await combinationstore.shares(tx, model, name, day) for name in combinationstore.named(spec)}
    states = await findings.states_of(tx, model, WHOLE_MODEL, [NEW_COMBINATIONS])
    recent = {name: of for (_, name), of in states.items()}
    found = newness.judge(shares, judgement.rule_of(spec), recent)
    for key in await findings.alarms(tx, model) | await alerts.open_keys(tx, model):
        if key[1] == NEW_COMBINATIONS and key[2] not in shares:
            found.append(judgement.silent(*key))  # it is not declared any more
    await findings.keep(tx, model, end - _DAY, end, found)
    await alerts.follow(tx, source, model, found, alerts.rule_of(spec), end)


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) + _DAY
