"""New combinations on a real PostgreSQL and a real folder: each record counted once, each day judged once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from services.monitor.tests.breaking import Breaking, KilledError
from services.monitor.tests.handed import Said
from shipway.contract import events as e
from shipway.contract.spec import parse_spec
from shipway.monitor import combinationstore, findings
from shipway.monitor.combinations import Combined
from shipway.monitor.forgetter import Forgetter
from shipway.monitor.historian import Historian
from shipway.monitor.packing import unpack
from shipway.monitor.settings import HistorySettings
from shipway.monitor.tables import combination_days, forgettings, history_staged, watch_states
from shipway.monitor.watcher import Watcher
from shipway.runtime.consumer import Progress
from shipway.runtime.database import Database

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST = TODAY - 36 * DAY
PLACES = [f"p{n}" for n in range(30)]
SIGNATURE = {
    "features": [{"name": "place", "type": "category", "categories": PLACES}, {"name": "minute", "type": "number"}],
    "output": "binary",
    "target": "y",
    "classes": ["false", "true"],
}
NAME = "place, minute"
Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Breaking:
    return Breaking(tmp_path / "objects")


@pytest.fixture
async def spec(put: Put, raw_spec: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A declared model with an approved version that asks for its combinations to be watched."""
    wanted = {"window": "1d", "drift_min_rows": 50, "combinations": [["place", "minute"]]}
    features = {"place": {"type": "category"}, "minute": {"type": "number"}}
    raw = raw_spec(features=features, monitoring=wanted)
    await put(e.ModelDeclared(model="m", spec=raw, declared_by="ann"))
    values: dict[str, Any] = {"request_id": "r", "gates": [], "metrics": {}, "champion_version": None}
    values |= {"champion_metrics": {}, "signature": SIGNATURE, "release": {}, "prediction_log": {}}
    await put(e.ModelApproved(model="m", version=1, digest="d", **values))
    return raw


@pytest.fixture
def flown(log: Put, record: Record) -> Put:
    """Logs a day's predictions: every place at a minute, later by so much in so many places."""

    async def send(day: datetime, later: float = 0.0, places: int = 0, **changes: Any) -> None:
        rows = [(float(n), later if n < places else 0.0) for n in range(len(PLACES))]
        at = [day + n * timedelta(minutes=10) for n in range(60)]
        made = [
            record(at=moment, features=[place, 600.0 + more], scores=[0.5], **changes)
            for moment, (place, more) in zip(at, rows * 2, strict=True)
        ]
        await log(made)

    return send


async def filed(database: Database, store: Breaking, **settings: Any) -> None:
    historian = Historian(database, store, HistorySettings(**{"roll_s": 1e-6, "merge_after_s": 1e9} | settings))
    while await historian.step():
        pass


def a_watcher(database: Database) -> Watcher:
    async def progress() -> dict[int, Progress]:
        return {0: Progress(7, 7)}

    return Watcher(database, "shipway/monitor", progress)


async def until_done(watcher: Watcher) -> None:
    while await watcher.step():
        pass


async def counted(database: Database, day: date) -> Combined:
    this = (combination_days.c.model == "m") & (combination_days.c.day == day)
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(combination_days).where(this))).all()
    assert len(rows) <= 1 and all(row.name == NAME for row in rows)
    return unpack(rows[0].data, Combined) if rows else Combined()


async def recent(database: Database) -> dict[str, str]:
    """The state of each day that was judged."""
    async with database.begin() as tx:
        shown = await findings.of_model(tx, "m")
    assert shown is not None
    found = [one for one in shown["findings"] if (one["kind"], one["subject"]) == ("new combinations", NAME)]
    return {past["at"][:10]: past["state"] for one in found for past in one["recent"]}


async def test_a_new_schedule_is_one_alarm_of_the_model_from_its_day_until_it_is_usual(
    database: Database, store: Breaking, spec: dict[str, Any], flown: Put, said: Said
) -> None:
    changed = TODAY - 4 * DAY
    for n in range(36):
        day = FIRST + n * DAY
        await flown(day, later=5.0, places=12 if day >= changed else 0)
    await until_done(a_watcher(database))
    assert await recent(database) == {}, "windows do not wait for the history; combinations do"
    await filed(database, store)
    await asyncio.gather(*(until_done(a_watcher(database)) for _ in range(3)))
    states = await recent(database)
    of = {ago: states[(TODAY - (ago - 1) * DAY).date().isoformat()] for ago in range(1, 12)}
    assert of == {ago: {4: "drift"}.get(ago, "ok" if ago < 9 else "insufficient") for ago in range(1, 12)}
    told = [one for one in await said(e.AlertChanged) if one.kind == "new combinations"]
    assert [(one.state, one.subject, one.version) for one in told] == [("raised", NAME, None), ("ended", NAME, None)]
    assert told[0].changed_at == changed + DAY and told[1].changed_at == changed + 3 * DAY
    words = f"40.0% of a day's predictions have a combination of {NAME} that the 28 days before did not have; 0.0%"
    assert told[0].reason.startswith(words) and told[0].page.endswith("#new-combinations")


async def test_a_combination_that_is_not_declared_any_more_is_forgotten_and_its_alert_ends(
    database: Database, store: Breaking, spec: dict[str, Any], flown: Put, said: Said, put: Put
) -> None:
    for n in range(2, 35):
        day = FIRST + n * DAY
        await flown(day, later=5.0, places=12 if n == 34 else 0)
    await filed(database, store)
    await until_done(a_watcher(database))
    told = [one.state for one in await said(e.AlertChanged) if one.kind == "new combinations"]
    assert told == ["raised"]
    other = spec | {"monitoring": {"window": "1d"}, "alerts": {"end_after": 1}}
    await put(e.ModelDeclared(model="m", spec=other, declared_by="ann"), datetime.now(UTC))
    await flown(TODAY - DAY)
    await filed(database, store)
    async with database.begin() as tx:
        await tx.execute(sa.update(watch_states).values(combined_to=(TODAY - DAY).date()))
    await until_done(a_watcher(database))
    told = [one.state for one in await said(e.AlertChanged) if one.kind == "new combinations"]
    assert told == ["raised", "ended"]
    async with database.begin() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).select_from(combination_days))).scalar_one() == 0


@pytest.mark.parametrize("point", ["before put", "after put"])
async def test_a_record_counts_once_whatever_ends_in_the_middle_and_however_often_it_comes(
    database: Database, store: Breaking, spec: dict[str, Any], log: Put, record: Record, point: str
) -> None:
    rows = [record(at=FIRST, features=[float(n % 3), 600.0], scores=[0.5]) for n in range(10)]
    none = [record(at=FIRST), record(at=FIRST, role="shadow", features=[5.0, 1.0]), record("failed", at=FIRST)]
    await log(rows + none)
    store.dies = point
    with pytest.raises(KilledError):
        await filed(database, store)
    await filed(database, store)
    once = await counted(database, FIRST.date())
    assert sorted(once.counts.tolist()) == [3, 3, 4]
    await log(rows[:4])  # again, as after a restart
    await log([record(at=FIRST, features=[7.0, 600.0], scores=[0.5])])
    await filed(database, store)
    await filed(database, store, merge_after_s=0)  # a day's files become one, in which each is once
    assert len(store.list("history/")) == 1
    assert sorted((await counted(database, FIRST.date())).counts.tolist()) == [1, 3, 3, 4]


async def test_what_a_subject_asked_for_counts_no_more_once_it_is_forgotten(
    database: Database, store: Breaking, spec: dict[str, Any], log: Put, record: Record, put: Put
) -> None:
    hers = [record(at=FIRST, client_id=f"ann/{n}", features=[float(n), 600.0]) for n in range(3)]
    await log([*hers, *(record(at=FIRST, client_id="bob", features=[float(n), 600.0]) for n in range(2, 5))])
    await filed(database, store)
    assert sorted((await counted(database, FIRST.date())).counts.tolist()) == [1, 1, 1, 1, 2]
    await put(e.SubjectForgetRequested(model="m", command_id="c", subject="ann", requested_by="ann"))
    async with database.begin() as tx:
        await tx.execute(sa.update(forgettings).values(asked_at=forgettings.c.asked_at - timedelta(seconds=10)))
        await tx.execute(sa.update(history_staged).values(staged_at=history_staged.c.staged_at - timedelta(seconds=10)))
    parts: Any = SimpleNamespace(database=database, source="m", relay=SimpleNamespace(wake=lambda: 0))
    for _ in range(3):
        while await Forgetter(parts, store).step():
            pass
        await filed(database, store)
    left = await counted(database, FIRST.date())
    assert left.counts.tolist() == [1, 1, 1]


async def test_hashes_go_once_nobody_looks_back_to_them_and_shares_stay(
    database: Database, store: Breaking, spec: dict[str, Any], flown: Put
) -> None:
    for n in range(36):
        await flown(FIRST + n * DAY)
    await filed(database, store)
    await until_done(a_watcher(database))
    async with database.begin() as tx:
        await combinationstore.forget(tx, "m", parse_spec(spec), TODAY.date())
        rows = (await tx.execute(sa.select(combination_days).order_by(combination_days.c.day))).all()
    assert [row.data is None for row in rows] == [True] * 6 + [False] * 30
