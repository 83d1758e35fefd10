"""Labels joined to their predictions on a real PostgreSQL and a real folder, whichever comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from services.monitor.tests.breaking import BINARY
from services.monitor.tests.handed import Said
from shipway.bundle.golden import encode_golden
from shipway.bundle.historylabels import labels_between
from shipway.bundle.manifest import Windows
from shipway.bundle.store import write_bundle
from shipway.contract import events as e
from shipway.contract.signature import parse_signature
from shipway.contract.spec import parse_spec
from shipway.monitor import partsums, qualities, qualitywatch, windows
from shipway.monitor.bins import make_bins
from shipway.monitor.historian import Historian
from shipway.monitor.joiner import Joiner
from shipway.monitor.references import References
from shipway.monitor.responses.watching import ModelQuality
from shipway.monitor.settings import HistorySettings, LabelSettings
from shipway.monitor.summary import Summary
from shipway.monitor.tables import history_files, label_files, labels, quality, versions
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore
from shipway.runtime.prediction_ids import as_text, new_ids
from shipway.runtime.settings import DataSettings

T0 = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]


@pytest.fixture
def joiner(database: Database, store: FolderStore) -> Callable[..., Joiner]:
    """Gives one that has just been started."""

    def start(**settings: Any) -> Joiner:
        parts: Any = SimpleNamespace(database=database, source="shipway/monitor", relay=SimpleNamespace(wake=lambda: 0))
        quick = {"search_again_s": 1e-6, "file_every_s": 1e-6, "tell_every_s": 1e-6}
        return Joiner(parts, store, References(database, store), LabelSettings(**quick | settings))

    return start


@pytest.fixture
def record(record: Record) -> Record:
    """As the others' tests have it, but of yesterday: labels are taken for so long only."""
    return lambda *args, **values: record(*args, **{"at": T0} | values)


@pytest.fixture
async def served(put: Put, raw_spec: Callable[..., dict[str, Any]]) -> None:
    """A declared model with an approved version."""
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"))
    await put(approved(BINARY))


def approved(signature: dict[str, Any], version: int = 1, digest: str = "d") -> e.ModelApproved:
    values: dict[str, Any] = {"request_id": "r", "gates": [], "metrics": {}, "champion_version": None}
    values |= {"champion_metrics": {}, "signature": signature, "release": {}, "prediction_log": {}}
    return e.ModelApproved(model="m", version=version, digest=digest, **values)


def told(prediction_id: str, label: Any, at: datetime = T0, model: str = "m") -> e.FeedbackReceived:
    return e.FeedbackReceived(model=model, prediction_id=prediction_id, label=label, observed_at=at)


async def filed(database: Database, store: FolderStore) -> None:
    historian = Historian(database, store, HistorySettings(roll_s=1e-6))
    while await historian.step():
        pass


async def stepped(joiner: Joiner) -> None:
    joiner._rest_until = 0.0
    await joiner.step()


async def quality_of(database: Database) -> dict[str, Any]:
    async with database.begin() as tx:
        found = await qualities.of_model(tx, "m", T0 - timedelta(days=30))
    assert found is not None
    return found


async def test_labels_find_predictions_whichever_comes_first(
    database: Database,
    said: Said,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    served: None,
    put: Put,
    log: Put,
    record: Record,
) -> None:
    early, late, none = as_text(new_ids(3))
    await put(told(early, True))
    await stepped(joiner())
    assert (await quality_of(database))["counts"]["waiting"] == 1
    await log([record(prediction_id=early, scores=[0.9]), record(prediction_id=late, scores=[0.4])])
    await log([record("failed", prediction_id=none)])
    await filed(database, store)
    batch = [e.Label(prediction_id=name, label=True, observed_at=T0) for name in (late, late, none)]
    await put(e.LabelsReceived(model="m", labels=batch))
    await stepped(joiner())
    found = await quality_of(database)
    counts = {what: number for what, number in found["counts"].items() if number}
    assert counts == {"received": 4, "doubled": 1, "waiting": 1, "late": 2}
    (version,) = found["versions"]
    assert (version["predictions"], version["labelled"], version["coverage"]) == (2, 2, 1.0)
    assert version["loss"]["mean"] == pytest.approx((0.01 + 0.36) / 2)
    assert version["metrics"]["accuracy"] == 0.5
    (event,) = await said(e.QualityMeasured)
    assert (event.version, event.labelled, event.predictions) == (1, 2, 2)
    assert event.loss_sum == pytest.approx(0.37) and event.loss_square_sum == pytest.approx(0.01**2 + 0.36**2)
    assert (event.window_from, event.window_to) == (T0, T0 + timedelta(hours=1))
    rows = pq.read_table(store._path(f"labels/m/{T0:%Y-%m-%d}.parquet")).to_pylist()
    assert {row["prediction_id"]: (row["label"], row["version"]) for row in rows} == dict.fromkeys(
        (early, late), ("true", 1)
    )


async def test_a_corrected_label_counts_once_and_the_file_follows(
    database: Database,
    said: Said,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    served: None,
    put: Put,
    log: Put,
    record: Record,
) -> None:
    (name,) = as_text(new_ids(1))
    await log([record(prediction_id=name, scores=[0.8])])
    await filed(database, store)
    await put(told(name, True, T0))
    await stepped(joiner())
    for key in store.list("history/"):
        store.delete(key)  # what the prediction said is known from the first time
    await put(told(name, False, T0 + timedelta(seconds=1)))
    await stepped(joiner())
    await put(told(name, True, T0))
    await stepped(joiner())
    found = await quality_of(database)
    assert found["versions"][0]["labelled"] == 1
    assert found["versions"][0]["loss"]["mean"] == pytest.approx(0.64)
    assert found["counts"]["conflicting"] == 2
    assert [event.loss_sum for event in await said(e.QualityMeasured)] == [pytest.approx(0.04), pytest.approx(0.64)]
    (row,) = pq.read_table(store._path(f"labels/m/{T0:%Y-%m-%d}.parquet")).to_pylist()
    assert row["label"] == "false"
    (before,) = row["earlier"]
    assert before["label"] == "true" and row["received_at"] <= before["settled_at"] < row["settled_at"]

    def known(as_of: datetime) -> list[str]:
        found = labels_between(store, "m", T0.date(), T0.date(), as_of, DataSettings())
        return [str(one) for one in found["label"].to_pylist()]

    moments = (row["received_at"] - timedelta(seconds=1), before["settled_at"], row["settled_at"])
    assert [known(at) for at in moments] == [[], ["true"], ["false"]], "what was known then can be told now"


async def test_what_is_orphaned_too_old_or_misfit_is_counted_and_gone(
    database: Database,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    rule = {"wait": "1h", "within": "5d", "mature_after": "3d"}
    await put(e.ModelDeclared(model="m", spec=raw_spec(labels=rule), declared_by="ann"))
    await put(approved(BINARY))
    old, odd, shadow, good = as_text(new_ids(4))
    await log([record(prediction_id=old, at=T0 - timedelta(days=9), scores=[0.5])])
    await log([record(prediction_id=name, scores=[0.5]) for name in (odd, good)])
    await log([record(prediction_id=shadow, scores=[0.5], role="shadow")])
    await filed(database, store)
    for name, label in ((old, True), (odd, "maybe"), (shadow, True), (good, False), ("nobody's", True)):
        await put(told(name, label))
    await stepped(joiner())
    async with database.begin() as tx:
        await tx.execute(sa.update(labels).values(received_at=labels.c.received_at - timedelta(hours=2)))
    await stepped(joiner())
    found = await quality_of(database)
    counts = {what: number for what, number in found["counts"].items() if number}
    assert counts == {"received": 5, "too_old": 1, "misfit": 1, "orphan": 2}
    assert found["versions"][0]["labelled"] == 1
    async with database.begin() as tx:
        assert set((await tx.execute(sa.select(labels.c.prediction_id))).scalars()) == {odd, good}


async def test_only_files_whose_ids_may_hold_a_label_are_read(
    database: Database,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    served: None,
    put: Put,
    log: Put,
    record: Record,
) -> None:
    groups = [[f"{n}{k}" for k in range(3)] for n in range(4)]
    for ids in groups:
        await log([record(prediction_id=name, scores=[0.5]) for name in ids])
        await filed(database, store)
    async with database.begin() as tx:
        files = (await tx.execute(sa.select(history_files).order_by(history_files.c.first_id))).all()
        assert [(f.first_id, f.last_id) for f in files] == [(ids[0], ids[-1]) for ids in groups]
        # As one that an older release wrote: its ids are noted by the first look.
        await tx.execute(
            sa.update(history_files).where(history_files.c.id == files[0].id).values(first_id=None, last_id=None)
        )
    read: list[str] = []

    class Noting(FolderStore):
        def get(self, key: str, max_bytes: int) -> bytes:
            read.append(key)
            return super().get(key, max_bytes)

    looking = joiner()
    looking._store = Noting(store._folder)
    await put(told("21", True))
    await stepped(looking)
    assert sorted(read) == sorted([files[0].key, files[2].key])
    read.clear()
    await put(told("22", True))
    await stepped(looking)
    assert read == [files[2].key]
    assert (await quality_of(database))["versions"][0]["labelled"] == 2


async def test_several_monitors_count_a_label_once(
    database: Database,
    said: Said,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    served: None,
    put: Put,
    log: Put,
    record: Record,
) -> None:
    ids = as_text(new_ids(200))
    await log([record(prediction_id=name, scores=[0.5]) for name in ids])
    await filed(database, store)
    batch = [e.Label(prediction_id=name, label=True, observed_at=T0) for name in ids]
    await put(e.LabelsReceived(model="m", labels=batch))
    # The pause is so short that both look for all of them.
    await asyncio.gather(*(stepped(joiner()) for _ in range(3)))
    found = await quality_of(database)
    assert (found["versions"][0]["labelled"], found["counts"]["waiting"]) == (200, 0)
    assert max(event.labelled for event in await said(e.QualityMeasured)) == 200


async def test_regression_is_judged_by_the_reach_of_the_first_versions_reference(
    database: Database,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    regression = {"features": [{"name": "n", "type": "number"}], "output": "regression", "target": "y"}
    reference = encode_golden(np.array([[1.0], [2.0]]), np.array([[-5.0], [15.0]]))
    small = dict.fromkeys(["model.txt", "signature.json", "golden.parquet", "report.json", "spec.json"], b"{}")
    made = Windows(T0, T0, T0, T0)
    bundle = write_bundle(store, small | {"reference.parquet": reference}, model="m", library_versions={}, windows=made)
    await put(e.ModelDeclared(model="m", spec=raw_spec(target={"column": "y", "kind": "regression"}), declared_by="a"))
    await put(approved(regression, digest=bundle.digest))
    await put(approved(regression, version=2, digest="0" * 64))
    ids = as_text(new_ids(2))
    await log([record(prediction_id=name, version=n + 1, scores=[3.0]) for n, name in enumerate(ids)])
    await filed(database, store)
    for name in ids:
        await put(told(name, 5.0))
    await stepped(joiner())
    found = await quality_of(database)
    assert [version["loss"]["mean"] for version in found["versions"]] == [pytest.approx(0.1)] * 2
    assert [version["metrics"]["mae"] for version in found["versions"]] == [2.0, 2.0]
    (row, _) = pq.read_table(store._path(f"labels/m/{T0:%Y-%m-%d}.parquet")).to_pylist()
    assert row["label"] == 5.0


@pytest.fixture
async def ranked(put: Put, raw_spec: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A declared ranking with an approved version, of which the best two rows of a query count; its model file."""
    raw = raw_spec(target={"column": "y", "kind": "ranking"}, monitoring={"min_labels": 30})
    raw["data"] = raw["data"] | {"query_column": "q"}
    await put(e.ModelDeclared(model="m", spec=raw, declared_by="a"))
    signature = {"features": [{"name": "n", "type": "number"}], "output": "ranking", "target": "y"}
    await put(msgspec.structs.replace(approved(signature), ndcg_at=2))
    return raw


def counted(found: dict[str, Any]) -> dict[str, int]:
    return {what: number for what, number in found["counts"].items() if number}


async def test_a_query_of_a_ranking_is_judged_once_all_its_rows_have_a_label(
    database: Database,
    said: Said,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    ranked: dict[str, Any],
    put: Put,
    log: Put,
    record: Record,
) -> None:
    ids = as_text(new_ids(6))
    rows = zip(
        ids, ["ann/v/1", "ann/v/2", "ann/v/3", "w/1", "w/2", "none"], [3.0, 2.0, 1.0, 0.0, 0.0, 9.0], strict=True
    )
    records = [record(prediction_id=p, client_id=c, trace_id="f" * 32, scores=[x]) for p, c, x in rows]
    again = [record(client_id=f"ann/v/{n}", trace_id="e" * 32, scores=[0.0]) for n in (1, 2, 3)]
    shadow = record(client_id="ann/v/1", trace_id="f" * 32, scores=[0.0], role="shadow")
    await log([*records[:2], shadow, *again])
    await filed(database, store)
    await log(records[2:])  # the rows of a query may lie in two files
    await filed(database, store)
    for name, label in zip(ids, (0.0, True, None, False, 0.0, 1.0), strict=True):
        if label is not None:
            await put(told(name, label))
    await stepped(joiner())
    found = ModelQuality.model_validate(await quality_of(database)).model_dump()  # as the API shows it
    assert counted(found) == {"received": 5, "late": 5, "partial": 1, "alike": 1, "not_judged": 1}
    [version] = found["versions"]
    assert (version["labelled"], version["queries"], version["loss"], version["metrics"]) == (2, 0, None, {})

    await put(told(ids[2], 3.0))
    await stepped(joiner())
    found = await quality_of(database)
    assert counted(found) == {"received": 6, "late": 6, "alike": 1, "not_judged": 1}
    [version] = found["versions"]
    assert (version["predictions"], version["labelled"], version["queries"]) == (9, 5, 1)
    assert version["coverage"] == 5 / 9 and version["loss"]["low"] is None
    # The relevances are 0, 1, 3 in the order of the scores, and two places count.
    second = 1 / np.log2(3)
    assert version["metrics"]["ndcg"] == pytest.approx(second / (7 + second))
    assert version["days"][0]["queries"] == 1 and version["maturity"][0]["labelled"] == 0

    await put(told(ids[0], 2.0, T0 + timedelta(hours=1)))
    await stepped(joiner())
    [version] = (await quality_of(database))["versions"]
    assert version["queries"] == 1
    assert version["metrics"]["ndcg"] == pytest.approx((3 + second) / (7 + 3 * second)), "a correction takes its place"
    await put(told(ids[0], "odd", T0 + timedelta(hours=2)))
    await stepped(joiner())
    found = await quality_of(database)
    assert (found["versions"][0]["queries"], found["counts"]["misfit"], found["counts"]["partial"]) == (0, 1, 1)
    told_last = (await said(e.QualityMeasured))[-2:]
    assert {one.ndcg_at for one in told_last} == {2}
    assert [(one.labelled, round(one.loss_sum, 9)) for one in told_last] == [
        (1, pytest.approx(1 - (3 + second) / (7 + 3 * second))),
        (0, 0.0),
    ]
    files = pq.read_table(store._path(f"labels/m/{T0:%Y-%m-%d}.parquet")).to_pylist()
    assert {row["prediction_id"]: row["label"] for row in files} == dict(
        zip(ids, (None, 1.0, 3.0, 0.0, 0.0, 1.0), strict=True)
    )


async def test_a_ranking_that_orders_worse_than_on_its_holdout_is_an_alarm(
    database: Database,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    ranked: dict[str, Any],
    put: Put,
    log: Put,
    record: Record,
) -> None:
    signature = parse_signature({"features": [{"name": "n", "type": "number"}], "output": "ranking", "target": "y"})
    numbers = np.random.default_rng(1).normal(size=(300, 1))
    bins = make_bins(signature, numbers, numbers)
    ids = as_text(new_ids(180))
    at = [T0 + n // 18 * timedelta(hours=1) for n in range(180)]
    client = [f"q{n // 3}/{n % 3}" for n in range(180)]
    await log([record(prediction_id=ids[n], at=at[n], client_id=client[n], scores=[float(n % 3)]) for n in range(180)])
    await filed(database, store)
    # The best row comes last in nine of ten queries.
    labels_now = [float(n % 3 == (2 if n // 3 % 10 == 0 else 0)) for n in range(180)]
    await put(
        e.LabelsReceived(
            model="m",
            labels=[e.Label(prediction_id=ids[n], label=labels_now[n], observed_at=T0) for n in range(180)],
        )
    )
    await stepped(joiner())
    until = T0 + timedelta(days=3)
    async with database.begin() as tx:
        await tx.execute(sa.update(versions).values(metrics={"ndcg": 0.8}))
        [finding] = await qualitywatch.found(tx, "m", parse_spec(ranked), 1, Summary(), bins, until)
    assert (finding.kind, finding.subject, finding.state) == ("quality", "ndcg", "alarm")
    assert finding.limit == pytest.approx(0.72)
    assert finding.figure is not None
    assert finding.figure == pytest.approx(0.1, abs=0.06)
    assert finding.reason.endswith("of 60 queries with all labels, 180 rows, 100% of all; 0.8 on the holdout")
    floors = []
    for cut in (2, 10):
        spec = parse_spec(ranked | {"gates": ranked.get("gates", {}) | {"floor": 0.79, "ndcg_at": cut}})
        async with database.begin() as tx:
            floors += await qualitywatch.found(tx, "m", spec, 1, Summary(), bins, until)
    assert [one.limit for one in floors] == [pytest.approx(0.79), pytest.approx(0.72)]
    assert floors[1].reason.endswith("; gates.floor is of NDCG@10, this version's of NDCG@2")
    [version] = (await quality_of(database))["versions"]
    assert version["loss"]["low"] < version["loss"]["mean"] == pytest.approx(1 - finding.figure)


async def test_labels_count_for_the_parts_of_the_traffic_and_are_judged_beside_the_weeks_before(
    database: Database,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    spec = raw_spec(monitoring={"slices": ["c"], "min_labels": 30}, features={"c": {"type": "category"}})
    await put(e.ModelDeclared(model="m", spec=spec, declared_by="ann"))
    feature = {"name": "c", "type": "category", "categories": ["a", "b"]}
    signature = parse_signature(BINARY | {"features": [feature]})
    await put(approved(BINARY | {"features": [feature]}))
    bins = make_bins(signature, np.array([[0.0], [1.0]] * 50), np.full((100, 1), 0.2), ["c"])
    async with database.begin() as tx:
        await windows.keep_bins(tx, "m", 1, bins, None)
        await tx.execute(sa.update(versions).values(metrics={"accuracy": 0.9}))
    ids, before = as_text(new_ids(800)), T0 - timedelta(days=8)
    at = [(before if n < 400 else T0) + n // 40 * timedelta(hours=1) for n in range(800)]
    await log([record(prediction_id=ids[n], at=at[n], features=[n % 2], scores=[0.2]) for n in range(800)])
    await filed(database, store)
    wrong = [n >= 400 and n % 4 == 3 for n in range(800)]  # half of those of "b", lately
    came = [e.Label(prediction_id=ids[n], label=wrong[n], observed_at=T0) for n in range(800)]
    await put(e.LabelsReceived(model="m", labels=came))
    await put(told(ids[0], True, T0 - timedelta(seconds=1)))  # which is older than what is known
    await stepped(joiner())
    await put(told(ids[2], True, T0 + timedelta(seconds=1)))
    await stepped(joiner())
    until = (T0 + timedelta(days=2)).replace(hour=0)
    async with database.begin() as tx:
        counted = await partsums.between(tx, "m", before, until)
        totals = {part: sum(hour.labelled for hour in hours.values()) for part, hours in counted.items()}
        correct = {part: sum(hour.correct for hour in hours.values()) for part, hours in counted.items()}
        judged = await qualitywatch.found(tx, "m", parse_spec(spec), 1, Summary(), bins, until + timedelta(days=1))
    assert totals == {"": 800, "c=a": 400, "c=b": 400}
    assert correct == {"": 699, "c=a": 399, "c=b": 300}, "one label was corrected"
    alarms = {one.subject: one.reason for one in judged if one.kind == "part quality" and one.alarm}
    assert list(alarms) == ["accuracy where c=b"]
    assert alarms["accuracy where c=b"].startswith(
        "accuracy 0.5 of 200 labelled answers, 1 elsewhere; before it was 1 "
    )


async def test_labels_that_cannot_change_leave_the_database_once_they_are_filed(
    database: Database,
    store: FolderStore,
    joiner: Callable[..., Joiner],
    put: Put,
    log: Put,
    record: Record,
    raw_spec: Callable[..., dict[str, Any]],
) -> None:
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"))
    await put(approved(BINARY))
    (name,) = as_text(new_ids(1))
    await log([record(prediction_id=name, at=T0 - timedelta(days=5), scores=[0.5])])
    await filed(database, store)
    await put(told(name, True))
    await stepped(joiner())
    rule = {"within": "1h"}
    await put(e.ModelDeclared(model="m", spec=raw_spec(labels=rule), declared_by="ann"), datetime.now(UTC))
    async with database.begin() as tx:
        await tx.execute(sa.update(label_files).values(changes=label_files.c.changes + 1))
    waiting = joiner(file_every_s=3600)
    await stepped(waiting)
    async with database.begin() as tx:
        assert len((await tx.execute(sa.select(labels))).all()) == 1, "its day is still to be written"
    await stepped(joiner())
    await stepped(joiner())
    async with database.begin() as tx:
        assert (await tx.execute(sa.select(labels))).all() == []
        assert len((await tx.execute(sa.select(quality))).all()) == 1
    assert store.list("labels/") == [f"labels/m/{T0 - timedelta(days=5):%Y-%m-%d}.parquet"]
    keep = {"prediction_log": {"keep": "2d"}, "labels": rule}
    await put(e.ModelDeclared(model="m", spec=raw_spec(**keep), declared_by="ann"), datetime.now(UTC))
    await stepped(joiner())
    assert store.list("labels/") == []
