"""The prediction history on a real PostgreSQL and a real folder: each record once, whatever ends in the middle."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from services.monitor.tests.breaking import Breaking, KilledError
from shipway.contract import events as e
from shipway.contract.errors import Transient
from shipway.monitor import reading
from shipway.monitor.historian import Historian
from shipway.monitor.settings import HistorySettings
from shipway.monitor.tables import history_files, history_staged
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]
SIGNATURE = {"features": [{"name": "n", "type": "number"}], "output": "regression", "target": "y"}


@pytest.fixture
def store(tmp_path: Path) -> Breaking:
    return Breaking(tmp_path / "objects")


@pytest.fixture
def historian(database: Database, store: Breaking) -> Callable[..., Historian]:
    """Gives one that has just been started."""

    def start(**settings: Any) -> Historian:
        return Historian(database, store, HistorySettings(**{"roll_s": 1e-6} | settings))

    return start


def approved(version: int = 1, **changes: Any) -> e.ModelApproved:
    values: dict[str, Any] = {"request_id": "r", "gates": [], "metrics": {}, "champion_version": None}
    values |= {"champion_metrics": {}, "signature": SIGNATURE, "release": {}, "prediction_log": {}}
    return e.ModelApproved(model="m", version=version, digest="d", **values | changes)


async def done(historian: Historian) -> None:
    while await historian.step():
        pass


def by_path(store: FolderStore, folder: str = "history/") -> list[dict[str, Any]]:
    """What a reader finds who knows the folder only."""
    rows: list[dict[str, Any]] = []
    for key in store.list(folder):
        rows += pq.read_table(store._path(key)).to_pylist()
    return rows


async def listed(database: Database, model: str = "m") -> list[dict[str, Any]]:
    async with database.begin() as tx:
        found = await reading.prediction_history(tx, model, None)
    return found["files"] if found else []


async def count(database: Database, table: sa.Table) -> int:
    async with database.begin() as tx:
        return int((await tx.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())


async def test_staged_records_become_files_of_their_day(
    database: Database,
    store: Breaking,
    historian: Callable[..., Historian],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"))
    await put(approved())
    await log([record(features=[1.0]), record(at=T0 + DAY, features=[2.0]), record("failed", None, reason="why")])
    await log([record(features=[3.0]), record(model="other")])
    await done(historian())
    rows = by_path(store, "history/m/2026-01-01/")
    assert sorted(str(row["feature.n"]) for row in rows) == ["1.0", "3.0", "None"]
    assert [row["feature.n"] for row in by_path(store, "history/m/2026-01-02/")] == [2.0]
    assert len(by_path(store, "history/other/")) == 1
    files = await listed(database)
    assert [file["key"] for file in files] == store.list("history/m/")
    assert [(file["rows"], file["bytes"]) for file in files] == [
        (3, store.size(files[0]["key"])),
        (1, store.size(files[1]["key"])),
    ]
    assert (files[0]["first_at"], files[1]["last_at"]) == (T0, T0 + DAY)
    assert await count(database, history_staged) == 0


async def test_a_file_is_made_when_it_is_full_or_old(
    database: Database, store: Breaking, historian: Callable[..., Historian], log: Put, record: Record
) -> None:
    patient = historian(roll_rows=4, roll_s=3600)
    for _ in range(3):
        await log([record()])
    await done(patient)
    assert store.list("history/") == []
    await log([record(), record()])
    await done(patient)
    assert [file.count("/") for file in store.list("history/")] == [3]
    assert len(by_path(store)) == 3, "a batch that would make it too large waits for the next"
    async with database.begin() as tx:
        await tx.execute(sa.update(history_staged).values(staged_at=sa.func.now() - timedelta(hours=1)))
    await done(patient)
    assert len(by_path(store)) == 5


@pytest.mark.parametrize("point", ["before put", "after put"])
async def test_a_death_at_a_roll_leaves_each_record_once(
    database: Database, store: Breaking, historian: Callable[..., Historian], log: Put, record: Record, point: str
) -> None:
    await log([record(features=None) for _ in range(5)])
    store.dies = point
    with pytest.raises(KilledError):
        await done(historian())
    await log([record()])
    await done(historian())
    assert sorted(Counter(row["prediction_id"] for row in by_path(store)).values()) == [1] * 6
    assert len(store.list("history/")) == await count(database, history_files) == 2


@pytest.mark.parametrize("point", ["before put", "after put", "before delete", "after delete"])
async def test_a_death_at_a_merge_leaves_one_file_with_each_record_once(
    database: Database,
    store: Breaking,
    historian: Callable[..., Historian],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
    point: str,
) -> None:
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"))
    doubled = record(at=T0 + timedelta(seconds=7))
    for n in range(4):
        await log([record(at=T0 + timedelta(seconds=n)), doubled])
        await done(historian(merge_after_s=1e9))
    assert len(store.list("history/")) == 4
    store.dies = point
    with pytest.raises(KilledError):
        await done(historian())
    await done(historian())
    assert len(store.list("history/")) == 1
    rows = by_path(store)
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert set(Counter(row["prediction_id"] for row in rows).values()) == {1} and len(rows) == 5
    (file,) = await listed(database)
    assert (file["rows"], file["key"]) == (5, store.list("history/")[0])
    await log([record()])
    await done(historian())  # what it writes is there to be merged by the next one's first look
    await done(historian())
    assert [len(rows) for rows in (store.list("history/"), by_path(store))] == [1, 6], "a late record is merged too"


async def test_a_removed_object_that_comes_back_is_removed_again(
    database: Database, store: Breaking, historian: Callable[..., Historian], log: Put, record: Record
) -> None:
    for _ in range(2):
        await log([record()])
        await done(historian(merge_after_s=1e9))
    first = store.list("history/")[0]
    data = store.get(first, 10**6)
    await done(historian())
    store.put(first, data)  # by a monitor that hung since before the merge
    async with database.begin() as tx:
        await tx.execute(sa.update(history_files).values(left_at=history_files.c.left_at - timedelta(hours=1)))
    await done(historian())
    assert len(by_path(store)) == 2 and await count(database, history_files) == 1


async def test_a_file_that_somebody_removed_does_not_stop_the_others(
    store: Breaking, historian: Callable[..., Historian], log: Put, record: Record
) -> None:
    for _ in range(3):
        await log([record()])
        await done(historian(merge_after_s=1e9))
    store.delete(store.list("history/")[1])
    await done(historian())
    await done(historian())
    assert [len(store.list("history/")), len(by_path(store))] == [1, 2]


async def test_after_a_restore_from_a_backup_every_record_is_there_once(
    database: Database, store: Breaking, historian: Callable[..., Historian], log: Put, record: Record
) -> None:
    """Of the database as it was when two files were there and a batch was staged; of the bucket as it is."""
    await log([record()])
    await done(historian(merge_after_s=1e9))
    await log([record(), record()])
    async with database.begin() as tx:
        backup = [(t, list((await tx.execute(sa.select(t))).mappings())) for t in (history_files, history_staged)]
    await done(historian(merge_after_s=1e9))
    await done(historian())
    async with database.begin() as tx:
        for table, rows in backup:
            await tx.execute(sa.delete(table))
            await tx.execute(sa.insert(table).values([dict(row) for row in rows]))
    store.put("history/m/2026-01-01/notes.parquet", b"somebody else's")
    damaged = f"history/m/2026-01-01/{'0' * 32}.parquet"
    store.put(damaged, b"PAR1")
    assert [row["state"] for row in backup[0][1]] == ["written"], "merged away since"
    for _ in range(2):
        await done(historian())
    keys = [key for key in store.list("history/") if "notes" not in key and key != damaged]
    assert [len(keys), len(by_path(store, keys[0]))] == [1, 3]
    assert store.get("history/m/2026-01-01/notes.parquet", 100) == b"somebody else's"


async def test_a_wrong_bucket_costs_nothing(
    database: Database, store: Breaking, historian: Callable[..., Historian], tmp_path: Path, log: Put, record: Record
) -> None:
    for _ in range(2):
        await log([record()])
        await done(historian(merge_after_s=1e9))
    wrong = Historian(database, FolderStore(tmp_path / "wrong"), HistorySettings())
    await done(wrong)
    await done(historian())
    await done(historian())
    assert [len(store.list("history/")), len(by_path(store))] == [1, 2]


async def test_with_the_store_away_records_wait_and_then_the_consumer(
    database: Database, store: Breaking, historian: Callable[..., Historian], tmp_path: Path, log: Put, record: Record
) -> None:
    (tmp_path / "objects").touch()  # a folder that is a file
    running, sent = historian(), 0
    with pytest.raises(Transient, match="STAGING_MB"):
        for sent in range(10_000):
            await log([record(reason="x" * 400) for _ in range(100)])
            if sent == 3:
                with pytest.raises(Transient, match="object store"):
                    await running.step()
    (tmp_path / "objects").unlink()
    await done(running)
    assert len({row["prediction_id"] for row in by_path(store)}) == len(by_path(store)) == 100 * sent
    await log([record()])


async def test_a_model_that_fails_leaves_the_others_alone(
    database: Database, store: Breaking, historian: Callable[..., Historian], log: Put, record: Record
) -> None:
    await log([record()])
    async with database.begin() as tx:
        await tx.execute(sa.update(history_staged).values(data=b"damaged"))
    await log([record(model="other")])
    running = historian()
    await done(running)
    await log([record(model="other")])
    await done(running)
    assert len(by_path(store)) == len(by_path(store, "history/other/")) == 2
    assert await count(database, history_staged) == 1, "it is kept for whoever mends it"


async def test_names_of_features_are_waited_for_but_not_for_ever(
    database: Database, store: Breaking, historian: Callable[..., Historian], put: Put, log: Put, record: Record
) -> None:
    running = historian()
    await log([record(features=[1.0])])
    await done(running)
    assert by_path(store) == []
    await put(approved(prediction_log={"redact": []}))
    await done(running)
    assert [row["feature.n"] for row in by_path(store)] == [1.0]
    await log([record(version=7, features=[2.0])])
    await done(running)
    async with database.begin() as tx:
        await tx.execute(sa.update(history_files).values(created_at=history_files.c.created_at - timedelta(minutes=11)))
    await done(running)
    assert by_path(store, "history/")[-1].get("features_unnamed", by_path(store)[0].get("features_unnamed")) == [2.0]


async def test_what_the_newest_model_file_redacts_is_hidden(
    store: Breaking,
    historian: Callable[..., Historian],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    await put(approved())
    await put(e.ModelDeclared(model="m", spec=raw_spec(prediction_log={"redact": ["n"]}), declared_by="ann"))
    await log([record(features=[1.0])])
    await done(historian())
    assert [row["feature.n"] for row in by_path(store)] == [None]


async def test_history_is_kept_as_long_as_the_model_file_says(
    database: Database,
    store: Breaking,
    historian: Callable[..., Historian],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    now = datetime.now(UTC)
    spec = raw_spec(prediction_log={"keep": "3d"})
    await put(e.ModelDeclared(model="m", spec=spec, declared_by="ann"))
    await log([record(at=now - n * DAY, client_id=str(n)) for n in range(7)])
    await log([record(at=now - 9 * DAY, model="other")])
    await done(historian())
    await done(historian())
    kept = by_path(store, "history/m/")
    assert {row["client_id"] for row in kept} == {"0", "1", "2", "3"}
    assert len(await listed(database)) == 4
    assert len(by_path(store, "history/other/")) == 1


async def test_two_monitors_share_the_work(
    store: Breaking, historian: Callable[..., Historian], log: Put, record: Record
) -> None:
    async def work() -> None:
        running = historian(roll_rows=2)
        for _ in range(15):
            await log([record(model=name) for name in ("a", "b")])
            await running.step()

    await asyncio.gather(work(), work())
    await asyncio.gather(done(historian()), done(historian()))
    await done(historian())
    assert Counter(row["model"] for row in by_path(store)) == {"a": 30, "b": 30}
    assert set(Counter(row["prediction_id"] for row in by_path(store)).values()) == {1}
