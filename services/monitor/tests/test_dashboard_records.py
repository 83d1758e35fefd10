"""A model's predictions in the dashboard: the newest as they were logged, labels told of them, a subject forgotten."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from dashboard.pressing import pressing

from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.monitor.dashboard import logged
from shipway.monitor.forgetter import Forgetter
from shipway.monitor.historian import Historian
from shipway.monitor.settings import HistorySettings
from shipway.monitor.tables import forgettings, history_files, history_staged, labels
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore

Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]
NOW = datetime.now(UTC)
SIGNATURE = {
    "features": [
        {"name": "n", "type": "number"},
        {"name": "colour", "type": "category", "categories": ["red", "green"]},
        {"name": "secret", "type": "number"},
    ],
    "output": "binary",
    "target": "y",
    "classes": ["false", "true"],
}


@pytest.fixture
async def known(put: Put, log: Put, raw_spec: Callable[..., dict[str, Any]], record: Record) -> None:
    """A model whose version 1 answered ten clients, a second apart."""
    await put(e.ModelDeclared(model="m", spec=raw_spec(prediction_log={"redact": ["n"]}), declared_by="ann"))
    judged: dict[str, Any] = {"request_id": "r", "gates": [], "metrics": {}, "champion_version": None}
    judged |= {"champion_metrics": {}, "signature": SIGNATURE, "release": {}, "prediction_log": {"redact": ["secret"]}}
    await put(e.ModelApproved(model="m", version=1, digest="d", **judged))
    for n in range(10):
        at = NOW - timedelta(minutes=5) + n * timedelta(seconds=1)
        said = {"prediction_id": f"p{n}", "client_id": f"ann/{n}" if n % 2 else f"bob/{n}", "scores": [n / 10]}
        await log([record(at=at, features=[7.5, float(n % 2), 8.5], **said)])


async def filed(database: Database, folder: Path) -> None:
    historian = Historian(database, FolderStore(folder), HistorySettings(roll_s=1e-6))
    while await historian.step():
        pass


async def test_the_newest_are_shown_with_what_was_kept_of_them(
    database: Database, known: None, tmp_path: Path, log: Put, record: Record
) -> None:
    store = FolderStore(tmp_path)
    waiting = await logged.newest(database, store, "m", 4)
    assert [one.prediction_id for one in waiting] == ["p9", "p8", "p7", "p6"]
    assert (waiting[0].features, waiting[0].scores) == ({"colour": "green"}, [0.9]), "what is redacted is not there"
    await filed(database, tmp_path)
    assert await logged.newest(database, store, "m", 4) == waiting, "from the file"
    await log([record("refused", None, NOW, prediction_id="p10", reason="unknown colour")])
    both = await logged.newest(database, store, "m", 200)
    assert [one.prediction_id for one in both] == [f"p{n}" for n in range(10, -1, -1)]
    assert (both[0].outcome, both[0].reason, both[0].version) == ("refused", "unknown colour", None)
    async with database.begin() as tx:
        await tx.execute(sa.update(history_files).values(bytes=logged.MAX_FILE_BYTES + 1))
    assert len(await logged.newest(database, store, "m", 200)) == 1, "a large file is not read for a look"


async def test_only_who_operates_sees_what_clients_sent(database: Database, known: None, tmp_path: Path) -> None:
    async with pressing(database, tmp_path) as press:
        page = (await press.look("/models/m/predictions?last=3")).text
        assert page.count('title="p') == 3 and "ann/9" in page and "Label p9" in page
    async with pressing(database, tmp_path, ["read"]) as press:
        page = (await press.look("/models/m/predictions")).text
        assert "ann/9" not in page and "a token with the scope operate shows them" in page
        assert "10 wait for theirs" in page
    (tmp_path / "objects").mkdir()
    async with pressing(database, tmp_path) as press:
        await filed(database, tmp_path / "objects")
        page = (await press.look("/models/m/predictions")).text
        assert '<p class="notice">object history/m/' in page, "a store that lost the file"


async def test_a_label_is_told(database: Database, known: None, tmp_path: Path) -> None:
    async with pressing(database, tmp_path) as press:
        assert "label taken: true" in (await press("/models/m/predictions/p3/label", label=" true ")).text
        for wrong in ("", "\u2028", "x" * 1001):
            answer = await press("/models/m/predictions/p3/label", label=wrong)
            assert (answer.status_code, "label" in answer.json()["detail"]) == (422, True)
        assert (await press("/models/none/predictions/p3/label", label="true")).status_code == 404
    async with database.begin() as tx:
        row = (await tx.execute(sa.select(labels))).one()
    assert (row.model, row.prediction_id, row.label) == ("m", "p3", "true")


async def test_a_label_of_a_number_must_be_one(
    database: Database, put: Put, raw_spec: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    spec = raw_spec(target={"column": "y", "kind": "regression"})
    await put(e.ModelDeclared(model="m", spec=spec, declared_by="ann"))
    async with pressing(database, tmp_path) as press:
        assert (await press("/models/m/predictions/p3/label", label="1e3")).status_code == 200
        for wrong in ("high", "nan", "inf"):
            assert (await press("/models/m/predictions/p3/label", label=wrong)).status_code == 422
    async with database.begin() as tx:
        assert (await tx.execute(sa.select(labels.c.label))).scalar_one() == 1000.0


async def test_a_subject_is_forgotten_when_the_model_is_named_once_more(
    database: Database, known: None, tmp_path: Path, outgoing: Callable[[], Awaitable[list[Envelope]]], put: Put
) -> None:
    await filed(database, tmp_path)
    async with pressing(database, tmp_path) as press:
        for form, named in (
            ({"subject": "ann"}, "confirm"),
            ({"subject": "ann", "confirm": "another"}, "confirm"),
            ({"subject": " ", "confirm": "m"}, "subject"),
            ({"subject": "x" * 201, "confirm": "m"}, "subject"),
            ({"subject": "a\u202eb", "confirm": "m"}, "subject"),
        ):
            answer = await press("/models/m/forget", **form)
            assert (answer.status_code, named in answer.json()["detail"]) == (422, True), form
        assert await outgoing() == []
        asked = await press("/models/m/forget", subject="ann", confirm="m", reason="she asked")
        command = (await outgoing())[-1].payload
        assert isinstance(command, e.SubjectForgetRequested)
        assert (command.subject, command.requested_by) == ("ann", "bob (dashboard)")
        path = asked.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
        await put(command)
        assert "waiting" in (await press.look(path)).text
        shown = {one.client_id for one in await logged.newest(database, FolderStore(tmp_path), "m", 200)}
        assert shown == {f"bob/{n}" for n in range(0, 10, 2)}, "already hidden"
        async with database.begin() as tx:
            earlier = timedelta(seconds=10)
            await tx.execute(sa.update(forgettings).values(asked_at=forgettings.c.asked_at - earlier))
            await tx.execute(sa.update(history_staged).values(staged_at=history_staged.c.staged_at - earlier))
        parts: Any = SimpleNamespace(database=database, source="m", relay=SimpleNamespace(wake=lambda: 0))
        for _ in range(4):
            while await Forgetter(parts, FolderStore(tmp_path)).step():
                pass
            await filed(database, tmp_path)
        assert "gone: 5 predictions and 0 labels of m" in (await press.look(path)).text
