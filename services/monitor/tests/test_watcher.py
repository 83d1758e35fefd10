"""Windows on a real PostgreSQL and a real folder: each record counted once, judged once, whoever does it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from services.monitor.tests.handed import Said
from shipway.contract import events as e
from shipway.monitor import findings, latencies
from shipway.monitor.learning import Learner
from shipway.monitor.quality import Quality
from shipway.monitor.references import References
from shipway.monitor.summary import quantile_us
from shipway.monitor.tables import quality, usage, watch_states, window_parts, windows
from shipway.monitor.watch import Watch
from shipway.monitor.watcher import Watcher
from shipway.runtime.consumer import Progress
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore

NOW = datetime.now(UTC)
DAY0 = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=4)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]
Step = Callable[[], Awaitable[bool]]


@pytest.fixture
def watcher(database: Database, store: FolderStore) -> Callable[[], Watcher]:
    """Gives one that has just been started; the log is always read to its end."""

    async def progress() -> dict[int, Progress]:
        return {0: Progress(7, 7)}

    return lambda: Watcher(database, "shipway/monitor", progress)


@pytest.fixture
def learn(database: Database, store: FolderStore) -> Step:
    """Learns how approved versions are counted."""
    return Learner(database, References(database, store)).step


@pytest.fixture
def traffic(log: Put, record: Record) -> Put:
    """Logs an hour's predictions: ``await traffic(DAY0, 500, shift=3.0)``."""
    rng = np.random.default_rng(2)

    async def send(begin: datetime, count: int, shift: float = 0.0, outcome: str = "answered") -> None:
        numbers = rng.normal(loc=shift, size=count)
        at = [begin + n * HOUR / count for n in range(count)]
        made = [
            record(outcome, at=moment, features=[float(x)], scores=[float(1 / (1 + np.exp(-x)))])
            for x, moment in zip(numbers, at, strict=True)
        ]
        for part in range(0, count, 100):
            await log(made[part : part + 100])

    return send


async def until_done(watcher: Watcher) -> None:
    while await watcher.step():
        pass


async def found(database: Database) -> dict[tuple[int, str, str], dict[str, Any]]:
    async with database.begin() as tx:
        shown = await findings.of_model(tx, "m")
    assert shown is not None
    return {(one["version"], one["kind"], one["subject"]): one for one in shown["findings"]}


async def count(database: Database, table: sa.Table) -> int:
    async with database.begin() as tx:
        return int((await tx.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())


async def test_drift_of_two_days_in_three_is_an_alarm_and_ends_with_the_predictions(
    database: Database, watcher: Callable[[], Watcher], served: None, learn: Step, traffic: Put
) -> None:
    await learn()
    await traffic(DAY0, 600)
    for day in (1, 2):
        await traffic(DAY0 + day * DAY, 600, shift=1.0)
    await until_done(watcher())
    seen = await found(database)
    drift = seen[1, "drift", "n"]
    assert [past["state"] for past in drift["recent"][:3]] == ["ok", "drift", "drift"]
    assert seen[1, "drift", "score"]["recent"][2]["state"] == "drift"
    # The fourth day has no predictions: nothing is said of a version that is not asked.
    assert (drift["state"], drift["alarm"], drift["reason"]) == ("insufficient", False, "no predictions in the window")
    async with database.begin() as tx:
        states = (await tx.execute(sa.select(watch_states.c.watched_to))).scalar_one()
    assert NOW - 2 * HOUR < states <= NOW


async def test_what_lies_far_off_on_one_day_is_an_alarm_with_that_day(
    database: Database, watcher: Callable[[], Watcher], served: None, learn: Step, traffic: Put, said: Said
) -> None:
    await learn()
    await traffic(DAY0, 600)
    await traffic(DAY0 + DAY, 600, shift=2.0)
    await traffic(DAY0 + 2 * DAY, 600)
    await until_done(watcher())
    drifted = [told for told in await said(e.AlertChanged) if (told.kind, told.subject) == ("drift", "n")]
    assert [(told.state, told.changed_at) for told in drifted][:1] == [("raised", DAY0 + 2 * DAY)]


async def test_errors_and_missing_traffic_are_found_in_their_window(
    database: Database, watcher: Callable[[], Watcher], served: None, learn: Step, traffic: Put
) -> None:
    await learn()
    # The last hour that is judged: one that ended just now still waits for what is late.
    last = (NOW - timedelta(minutes=2)).replace(minute=0, second=0, microsecond=0) - HOUR
    for days in (3, 2, 1):
        await traffic(last - days * DAY, 100)
    await traffic(last - HOUR, 100)
    await traffic(last - HOUR, 20, outcome="failed")
    await until_done(watcher())
    seen = await found(database)
    assert seen[0, "traffic", ""]["alarm"]
    errors = seen[1, "errors", ""]
    assert [past["state"] for past in errors["recent"] if past["state"] == "alarm"] == ["alarm"]
    assert not errors["alarm"], "the version was not asked since"


async def test_several_monitors_count_and_judge_once(
    database: Database, watcher: Callable[[], Watcher], served: None, learn: Step, traffic: Put
) -> None:
    await learn()
    for hour in range(3):
        await traffic(DAY0 + hour * HOUR, 200)
    assert await count(database, window_parts) > 6
    await asyncio.gather(*(until_done(watcher()) for _ in range(3)))
    assert await count(database, window_parts) == 0
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(windows).order_by(windows.c.begin))).all()
    assert [(row.requests, row.late) for row in rows] == [(200, 0)] * 3
    recent = (await found(database))[1, "errors", ""]["recent"]
    assert [past["state"] for past in recent] == ["ok"] * 3
    assert len({past["at"] for past in recent}) == 3


async def test_what_comes_after_its_window_was_judged_is_counted_as_late(
    database: Database, watcher: Callable[[], Watcher], served: None, traffic: Put
) -> None:
    await traffic(DAY0, 100)
    await until_done(watcher())
    await traffic(DAY0, 30)
    await until_done(watcher())
    async with database.begin() as tx:
        shown = await findings.of_model(tx, "m")
        (row,) = (await tx.execute(sa.select(windows))).all()
    assert shown is not None and shown["late"] == 30
    assert (row.requests, row.late) == (130, 30)


async def test_a_backlog_is_not_taken_for_silence(database: Database, served: None, traffic: Put) -> None:
    async def behind() -> dict[int, Progress]:
        return {0: Progress(3, 7)}

    await traffic(DAY0, 100)
    await until_done(Watcher(database, "shipway/monitor", behind))
    assert await found(database) == {}
    assert await count(database, windows) == 1


async def test_a_new_width_of_windows_begins_where_the_old_one_ended(
    database: Database,
    watcher: Callable[[], Watcher],
    served: None,
    traffic: Put,
    put: Put,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    await traffic(DAY0, 60)
    await until_done(watcher())
    async with database.begin() as tx:
        judged_to = (await tx.execute(sa.select(watch_states.c.watched_to))).scalar_one()
    short = raw_spec(monitoring={"window": "10m"})
    await put(e.ModelDeclared(model="m", spec=short, declared_by="ann"), datetime.now(UTC))
    begin = NOW.replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    await traffic(begin, 600)
    await until_done(watcher())
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(windows).where(windows.c.width_s == 600))).all()
        state = (await tx.execute(sa.select(watch_states))).one()
    assert [(row.requests, row.late) for row in rows] == [(100, 0)] * 6
    assert (state.width_s, state.watched_to >= judged_to) == (600, True)


async def test_latencies_are_counted_by_five_minutes_hours_and_days_until_they_are_old(
    database: Database, watcher: Callable[[], Watcher], served: None, traffic: Put
) -> None:
    begin = NOW.replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    for part in range(2):  # the second adds to what the first has left
        await traffic(begin + part * HOUR / 2, 600)
        await traffic(begin, 7, outcome="refused")
        await until_done(watcher())
    async with database.begin() as tx:
        hours = await latencies.since(tx, "m", latencies.COARSE, begin)
        fine = await latencies.since(tx, "m", latencies.FINE, begin)
        days = await latencies.since(tx, "m", latencies.LONG, begin - DAY)
    assert {key: int(counts.sum()) for key, counts in hours.items()} == {(1, begin): 900, (1, begin + HOUR): 300}
    assert sum(int(counts.sum()) for counts in days.values()) == 1200
    assert sorted(int(counts.sum()) for counts in fine.values()) == [50] * 12 + [100] * 6
    assert quantile_us(hours[1, begin], 0.99) == pytest.approx(10, rel=0.2)
    async with database.begin() as tx:
        await latencies.forget_before(tx, begin + latencies.KEEP[latencies.FINE] + HOUR)
        assert (await latencies.since(tx, "m", latencies.COARSE, begin)).keys() == hours.keys()
        left = await latencies.since(tx, "m", latencies.FINE, begin)
    assert min(at for _, at in left) == begin + HOUR


async def test_a_champion_that_is_too_bad_by_its_labels_is_replaced_where_the_model_file_says(
    database: Database,
    watcher: Callable[[], Watcher],
    served: None,
    learn: Step,
    traffic: Put,
    put: Put,
    said: Said,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    wanted = {"on_quality": "degrade", "quality_window": "1d", "slices": ["n"]}
    spec = raw_spec(monitoring=wanted, labels={"mature_after": "1h"})
    await put(e.ModelDeclared(model="m", spec=spec, declared_by="ann"), datetime.now(UTC))
    await learn()
    release: dict[str, Any] = {"model": "m", "version": 1, "digest": "d", "release_id": "m-1", "generation": 1}
    await put(e.ReleasePromoted(**release, previous_version=None, reason=""), datetime.now(UTC))
    last = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - DAY
    await traffic(last, 600)
    sums = Quality(labelled=50, correct=35, loss_sum=10.0, loss_square_sum=5.0, log_loss_sum=30.0)
    async with database.begin() as tx:
        hours = [{"hour": last + n * HOUR, "sums": vars(sums), "model": "m", "version": 1} for n in range(20)]
        await tx.execute(sa.insert(quality), hours)
    await until_done(watcher())
    seen = {key: one for key, one in (await found(database)).items() if one["kind"] in ("quality", "estimated quality")}
    assert {key: one["state"] for key, one in seen.items()} == {
        (1, "quality", "accuracy"): "alarm",
        (1, "quality", "log_loss"): "alarm",
        (1, "estimated quality", "accuracy"): "ok",
    }
    assert seen[1, "quality", "accuracy"]["figure"] == pytest.approx(0.7)
    parts: Any = SimpleNamespace(database=database, source="shipway/monitor", relay=SimpleNamespace(wake=lambda: None))
    for _ in range(2):
        await Watch(parts).step()
    (degraded,) = await said(e.ModelDegraded)
    breach = seen[1, "quality", degraded.figure]
    assert (degraded.version, degraded.reason) == (1, breach["reason"])
    assert degraded.value == pytest.approx(breach["figure"])


async def test_a_day_whose_labels_stop_is_an_alarm_of_the_model_once_they_had_time_and_ends(
    database: Database, watcher: Callable[[], Watcher], served: None, learn: Step, traffic: Put, said: Said
) -> None:
    await learn()
    await traffic(DAY0 - DAY, 1)  # it is watched from here on
    stopped = DAY0  # the labels that came of this day are a few
    async with database.begin() as tx:
        for ago in range(-1, 20):
            day, came = stopped - ago * DAY, 40 if ago == 0 else 380 + ago
            asked = {"model": "m", "version": 1, "minute": day + 5 * HOUR, "outcome": "answered", "count": 400}
            await tx.execute(sa.insert(usage).values(**asked, latency_us_sum=0, latency_us_max=0))
            sums = Quality(labelled=came, delays=[0, 0, 0, came, *[0] * 8], binned=[0, 0, came, *[0] * 7])
            sums.stated[2], sums.came[2] = 0.25 * came, came // 4
            values = {"model": "m", "version": 1, "hour": day + 5 * HOUR, "sums": vars(sums)}
            await tx.execute(sa.insert(quality).values(values))
    await until_done(watcher())
    seen = await found(database)
    missing, share = seen[0, "missing labels", ""], seen[0, "label drift", ""]
    # A day is judged when the next one is over, by the default of labels.mature_after.
    states = {past["at"][:10]: past["state"] for past in missing["recent"]}
    assert states[(stopped + 2 * DAY).date().isoformat()] == "drift"
    assert states[(stopped + 3 * DAY).date().isoformat()] == "ok"
    assert share["state"] in ("ok", "insufficient") and not share["alarm"]
    raised, *_ = [one for one in await said(e.AlertChanged) if one.kind == "missing labels"]
    assert (raised.version, raised.state, raised.severity) == (None, "raised", "warning")
    assert raised.reason.startswith("90.0% of a day's predictions have no label after 1d; 2.5% are usual")
