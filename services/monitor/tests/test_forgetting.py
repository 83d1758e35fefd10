"""A subject's records gone for good, on a real PostgreSQL and a real folder: whatever ends in the middle."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.tests.breaking import BINARY, Breaking, KilledError
from shipway.contract import events as e
from shipway.contract.envelope import decode
from shipway.contract.errors import InvalidField
from shipway.monitor.forgetter import Forgetter
from shipway.monitor.forgetting import Forgotten, without
from shipway.monitor.historian import Historian
from shipway.monitor.joiner import Joiner
from shipway.monitor.references import References
from shipway.monitor.settings import HistorySettings, LabelSettings
from shipway.monitor.tables import forgettings, history_files, history_staged, labels
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox

T0 = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]


class Case:
    """A history with predictions of two clients, labels of all of them."""

    def __init__(self, database: Database, store: Breaking, put: Put) -> None:
        self.database, self.store, self.put = database, store, put
        self.parts: Any = SimpleNamespace(database=database, source="m", relay=SimpleNamespace(wake=lambda: 0))

    async def filed(self) -> None:
        historian = Historian(self.database, self.store, HistorySettings(roll_s=1e-6, merge_after_s=1e9))
        while await historian.step():
            pass

    async def joined(self) -> None:
        quick = LabelSettings(search_again_s=1e-6, file_every_s=1e-6, tell_every_s=1e-6)
        await Joiner(self.parts, self.store, References(self.database, self.store), quick).step()

    async def ask(self, subject: str, command_id: str = "c1") -> None:
        await self.put(e.SubjectForgetRequested(model="m", command_id=command_id, subject=subject, requested_by="ann"))
        await self.settle()

    async def settle(self) -> None:
        """As if some seconds had passed."""
        async with self.database.begin() as tx:
            earlier = timedelta(seconds=10)
            await tx.execute(sa.update(forgettings).values(asked_at=forgettings.c.asked_at - earlier))
            await tx.execute(sa.update(history_staged).values(staged_at=history_staged.c.staged_at - earlier))

    async def step(self) -> None:
        """Both reconcilers, as often as they want."""
        for _ in range(8):
            while await Forgetter(self.parts, self.store).step():
                pass
            await self.filed()

    async def answers(self) -> list[e.SubjectForgotten]:
        async with self.database.begin() as tx:
            rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
        told = [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])).payload for r in rows]
        return [event for event in told if isinstance(event, e.SubjectForgotten)]

    def by_path(self, folder: str) -> pd.DataFrame:
        """What a reader finds who knows the folder only."""
        files = sorted((self.store.folder / folder).rglob("*.parquet"))
        return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True) if files else pd.DataFrame()

    def whole_folder(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.store.folder.rglob("*") if file.is_file())


@pytest.fixture
async def case(
    tmp_path: Path, database: Database, put: Put, log: Put, record: Record, raw_spec: Callable[..., dict[str, Any]]
) -> Case:
    made = Case(database, Breaking(tmp_path / "objects"), put)
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"))
    values: dict[str, Any] = {"request_id": "r", "gates": [], "metrics": {}, "champion_version": None}
    values |= {"champion_metrics": {}, "signature": BINARY, "release": {}, "prediction_log": {}}
    await put(e.ModelApproved(model="m", version=1, digest="d", **values))
    names = ["ann", "ann/order-1", "anna", "bob", None, "ann/order-2"]
    at = [T0 + timedelta(minutes=n) for n in range(len(names))]
    rows = [
        record(prediction_id=f"p{n}", client_id=name, at=moment, features=[float(n)], scores=[0.5])
        for n, (name, moment) in enumerate(zip(names, at, strict=True))
    ]
    await log(rows[:3])
    await made.filed()
    await log(rows[3:])
    await made.filed()
    for n in range(len(names)):
        await put(e.FeedbackReceived(model="m", prediction_id=f"p{n}", label=True, observed_at=T0))
    await made.joined()
    assert len(made.by_path("labels")) == len(made.by_path("history")) == 6
    return made


async def test_nothing_of_a_subject_is_found_by_path(case: Case) -> None:
    await case.ask("ann")
    await case.step()
    (told,) = await case.answers()
    assert (told.records, told.labels, told.versions, told.command_id) == (3, 3, [], "c1")
    assert (told.first_at, told.last_at) == (T0, T0 + timedelta(minutes=5))
    left = case.by_path("history")
    assert sorted(left["prediction_id"]) == ["p2", "p3", "p4"]
    assert sorted(case.by_path("labels")["prediction_id"]) == ["p2", "p3", "p4"]
    assert b"ann/" not in case.whole_folder()
    async with case.database.begin() as tx:
        listed = {row.key for row in (await tx.execute(sa.select(history_files.c.key))).all()}
        kept = list((await tx.execute(sa.select(labels.c.prediction_id).order_by(labels.c.prediction_id))).scalars())
    assert set(case.store.list("history/")) <= listed and kept == ["p2", "p3", "p4"]
    await case.ask("ann")
    await case.step()
    assert len(await case.answers()) == 1, "the same command again is the same"


@pytest.mark.parametrize(
    "point",
    [
        *("before put labels", "after put labels", "before put history", "after put history"),
        *("before delete", "after delete"),
    ],
)
async def test_whatever_ends_in_the_middle_it_is_gone_in_the_end_and_counted_once(case: Case, point: str) -> None:
    await case.ask("ann")
    case.store.dies = point
    with pytest.raises(KilledError):
        await case.step()
    await case.step()
    (told,) = await case.answers()
    assert told.records == 3 and told.labels in (3, 2, 1, 0)
    assert sorted(case.by_path("history")["prediction_id"]) == ["p2", "p3", "p4"]
    assert sorted(case.by_path("labels")["prediction_id"]) == ["p2", "p3", "p4"]


async def test_what_waits_for_its_file_and_what_comes_late_is_left_out_too(
    case: Case, log: Put, record: Record
) -> None:
    await log([record(prediction_id="staged", client_id="ann", at=T0), record(prediction_id="other", at=T0)])
    await case.ask("ann")
    await case.step()
    (told,) = await case.answers()
    assert told.records == 4
    now = datetime.now(UTC)
    late = record(prediction_id="late", client_id="ann", at=T0)
    await log([late, record(prediction_id="new", client_id="ann", at=now + timedelta(minutes=1))])
    await case.filed()
    assert set(case.by_path("history")["prediction_id"]) == {"p2", "p3", "p4", "other", "new"}, "who comes back is new"
    async with case.database.begin() as tx:
        await tx.execute(sa.update(forgettings).values(asked_at=sa.func.now() - timedelta(days=8)))
    await case.step()
    async with case.database.begin() as tx:
        row = (await tx.execute(sa.select(forgettings))).one()
    assert (row.subject, row.records) == (None, 5), "the name itself goes, once nothing of it can come any more"


async def test_a_file_that_held_nothing_else_is_gone(case: Case) -> None:
    for n, subject in enumerate(("ann", "anna", "bob")):
        await case.ask(subject, f"c{n}")
    await case.step()
    assert sorted(told.records for told in await case.answers()) == [1, 1, 3]
    assert list(case.by_path("history")["prediction_id"]) == ["p4"]


async def test_the_answer_names_the_versions_that_were_trained_on_it(case: Case) -> None:
    for version, (source, days) in enumerate((("history", 0), ("history", 9), ("folder", 0)), start=2):
        begin = T0 + timedelta(days=days)
        completed = e.TrainingCompleted(
            model="m",
            request_id=f"r{version}",
            version=version,
            digest="d",
            bundle_bytes=1,
            training_rows=1,
            set_aside_rows={},
            train_from=begin if days else begin - timedelta(days=1),
            train_to=begin + timedelta(hours=1),
            holdout_from=begin + timedelta(hours=1),
            holdout_to=begin + timedelta(hours=2),
            metrics={},
            duration_s=1.0,
            data_source=source,
        )
        await case.put(completed)
    await case.ask("ann")
    await case.step()
    assert (await case.answers())[0].versions == [2]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subject": ""}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"model": "M!"}, "model"),
        ({"command_id": ""}, "co"),
    ],
)
async def test_a_command_that_can_not_be_obeyed_is_refused(put: Put, changes: dict[str, Any], field: str) -> None:
    command = {"model": "m", "command_id": "c", "subject": "ann", "requested_by": "x"} | changes
    with pytest.raises(InvalidField, match=field):
        await put(e.SubjectForgetRequested(**command))


@given(
    names=st.lists(st.sampled_from(["a", "a/", "a/b", "ab", "b", "", None, "a/b/c"]), max_size=12),
    subject=st.sampled_from(["a", "a/b", "b", "%", "a/"]),
    hours=st.integers(0, 12),
)
def test_only_what_is_the_subjects_goes(names: list[str | None], subject: str, hours: int) -> None:
    at = [T0 + timedelta(hours=n) for n in range(len(names))]
    ids = [f"p{n}" for n in range(len(names))]
    time = pa.timestamp("us", "UTC")
    table = pa.table({"prediction_id": ids, "client_id": pa.array(names, pa.string()), "at": pa.array(at, time)})
    left, gone = without(table, [Forgotten(7, subject, T0 + timedelta(hours=hours))])
    theirs = {
        one
        for one, name, moment in zip(ids, names, at, strict=True)
        if name is not None
        and (name == subject or name.startswith(subject + "/"))
        and moment <= at[0] + hours * timedelta(hours=1)
    }
    assert set(left["prediction_id"].to_pylist()) == set(ids) - theirs
    assert (gone[7].ids if gone else set()) == theirs
