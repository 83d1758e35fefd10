"""Jobs by the dashboard: searches, imports and what became of them; their pages, with a real trainer's answers."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from dashboard import yearly
from dashboard.pressing import OPERATOR_KEY, Pressing, pressing
from fastapi import FastAPI

from shipway.contract import events as e
from shipway.contract.commandseal import check_seal
from shipway.contract.envelope import Envelope
from shipway.monitor import tables as t
from shipway.monitor.dashboard.trainerjobs import Told, TrainerJobs
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox
from shipway.runtime.objects import FolderStore
from shipway.trainer import store as trainer_store
from shipway.trainer.api import add_routes
from shipway.trainer.tables import job_stages, jobs

Open = Callable[[str], Awaitable[Database]]
Put = Callable[..., Awaitable[None]]
Outgoing = Callable[[], Awaitable[list[Envelope]]]
MODEL = b"tree\nversion=v4\n"
SIGNATURE = {"features": [{"name": "n", "type": "number"}], "output": "regression", "target": "y"}


async def test_a_search_is_asked_for_as_the_form_says(press: Pressing, outgoing: Outgoing) -> None:
    answer = await press("/models/flights/search", trials="5", time_limit="2m", candidates="2", until="2026-03-01")
    assert "waiting for what becomes of the search" in answer.text
    await press("/models/flights/search", trials="", time_limit=" ", candidates="")
    one, other = [event.payload for event in await outgoing()]
    assert isinstance(one, e.SearchRequested) and isinstance(other, e.SearchRequested)
    assert (one.trials, one.time_limit_s, one.candidates) == (5, 120, 2)
    assert (one.until, one.requested_by) == (datetime(2026, 3, 1, tzinfo=UTC), "bob (dashboard)")
    assert (other.trials, other.time_limit_s, other.candidates, other.until) == (None, None, None, None)
    for name, text in (
        ("trials", "1001"),
        ("trials", "-1"),
        ("candidates", "11"),
        ("time_limit", "0s"),
        ("until", "x"),
    ):
        refused = await press("/models/flights/search", **{name: text})
        assert (refused.status_code, name in refused.json()["detail"]) == (422, True), (name, text)


async def test_a_model_is_sent_file_by_file_and_imported_by_their_hashes(
    press: Pressing, database: Database, tmp_path: Path
) -> None:
    model = MODEL + b" " * 3_000_000  # more than any other request may have
    files = {"model.txt": model, "signature.json": json.dumps(SIGNATURE).encode(), "golden.parquet": b"PAR1 and more"}
    digests = {name: (await press.send(name, data)).json()["sha256"] for name, data in files.items()}
    assert digests == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert FolderStore(tmp_path).get(f"imports/{digests['model.txt']}", 10**7) == model
    assert (await press("/models/flights/import", **digests, reason="made by hand")).status_code == 200
    async with database.begin() as tx:
        row = (await tx.execute(sa.select(outbox))).one()
    headers = msgspec.msgpack.decode(row.headers, type=list[tuple[str, bytes]])
    now = datetime.now(UTC)
    check_seal(row.value, headers, OPERATOR_KEY.encode(), given_at=now - timedelta(seconds=1), now=now, window_s=60)
    command = msgspec.json.decode(row.value, type=e.ModelImportRequested)
    assert (command.files, command.reason, command.requested_by) == (digests, "made by hand", "bob (dashboard)")


@pytest.mark.parametrize(
    ("name", "data", "status", "says"),
    [
        ("model.txt", b"\x80\x04pickle", 422, "LightGBM's text format"),
        ("signature.json", b"{", 422, "no JSON"),
        ("signature.json", b"[" * 100_000, 422, "no JSON"),
        ("signature.json", b'{"features": []}', 422, "signature"),
        ("golden.parquet", b"a,b\n1,2\n", 422, "Parquet"),
        ("other.pkl", b"x", 422, "none of model.txt"),
        ("model.txt", MODEL + b"x" * 3000, 413, "the limit is 3000"),
    ],
)
async def test_a_file_that_is_none_is_refused_at_the_door(
    database: Database, tmp_path: Path, name: str, data: bytes, status: int, says: str
) -> None:
    size = 10**6 if status != 413 else 3000
    async with pressing(database, tmp_path, import_bytes=size) as press:
        answer = await press.send(name, data)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text
    assert FolderStore(tmp_path).list("imports/") == []


async def test_an_import_names_files_that_were_sent(press: Pressing, outgoing: Outgoing) -> None:
    good = hashlib.sha256(MODEL).hexdigest()
    for form, named in (
        ({"model.txt": good}, "signature.json"),
        ({"signature.json": good}, "model.txt"),
        ({"model.txt": "../" * 20, "signature.json": good}, "model.txt"),
        ({"model.txt": good, "signature.json": good.upper()}, "signature.json"),
    ):
        answer = await press("/models/flights/import", **form)
        assert (answer.status_code, named in answer.json()["detail"]) == (422, True), answer.text
    assert await outgoing() == []


async def test_who_only_looks_sends_nothing(database: Database, tmp_path: Path) -> None:
    async with pressing(database, tmp_path, ["read"]) as press:
        assert (await press.send("model.txt", MODEL)).status_code == 403
        assert (await press("/models/flights/search")).status_code == 403
    async with pressing(database, tmp_path, commands=False) as press:
        assert (await press.send("model.txt", MODEL)).status_code == 403
    assert FolderStore(tmp_path).list("imports/") == []


def waiting_for(answer: httpx.Response) -> str:
    """Where a page asks what became of it."""
    return answer.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")


async def test_what_became_of_a_training_is_said(press: Pressing, outgoing: Outgoing, put: Put) -> None:
    asked = await press("/models/flights/train", reason="newer data")
    request_id = (await outgoing())[-1].payload.request_id  # type: ignore[union-attr]
    again = await press.look(waiting_for(asked))
    assert "waiting for what becomes of the training" in again.text
    now = datetime.now(UTC)
    await put(e.TrainingAccepted(model="flights", request_id=request_id), now)
    accepted = await press.look(waiting_for(again))
    assert f"accepted: {request_id[:8]}" in accepted.text and f"/dashboard/jobs/{request_id}" in accepted.text
    cancelled = await press(f"/models/flights/jobs/{request_id}/cancel")
    assert "waiting" in (await press.look(waiting_for(cancelled))).text
    failed = e.TrainingFailed(
        model="flights", request_id=request_id, stage="train", reason="cancelled by bob", attempts=1
    )
    await put(failed, now + timedelta(seconds=1))
    assert "ended: cancelled by bob" in (await press.look(waiting_for(cancelled))).text
    retried = await press(f"/models/flights/jobs/{request_id}/retry", stage="clean")
    command = (await outgoing())[-1].payload
    assert isinstance(command, e.TrainingRetryRequested) and command.stage == "clean"
    assert "waiting" in (await press.look(waiting_for(retried))).text
    await put(e.TrainingAccepted(model="flights", request_id=request_id), now + timedelta(seconds=2))
    assert f"{request_id[:8]} runs again" in (await press.look(waiting_for(retried))).text


async def test_a_command_that_a_service_does_not_take_is_said_with_its_reason(
    press: Pressing, outgoing: Outgoing, put: Put
) -> None:
    asked = await press("/models/flights/commands/freeze")
    headers = [("ce_id", (await outgoing())[-1].id.encode())]
    letter = e.DeadLettered(
        service="releaser",
        topic="shipway.operator-commands",
        partition=0,
        offset=1,
        reason="the signature is not by this key <b>",
        error="Unauthorised",
        at=datetime.now(UTC),
        key=b"flights",
        value=b"{}",
        headers=headers,
    )
    await put(letter, datetime.now(UTC))
    told = (await press.look(waiting_for(asked))).text
    assert "the releaser does not take it: the signature is not by this key &lt;b&gt;" in told and "hx-get" not in told


async def test_jobs_are_listed_and_shown_with_the_trainers_word(
    database: Database, open_database: Open, tmp_path: Path, put: Put
) -> None:
    await yearly.fill(database, days=2, stories=yearly.STORIES[:1])
    await put(e.TrainingRequested(model="flights", request_id="r1", reason="by hand"), datetime.now(UTC))
    said = e.TrainingProgressed(model="flights", request_id="r1", stage="train", fraction=0.4, message="round 30")
    await put(said, datetime.now(UTC))
    theirs, app = await open_database("trainer"), FastAPI()
    add_routes(app, theirs)
    request = e.TrainingRequested(model="flights", request_id="r1", reason="by hand", requested_by="ann")
    trial = {"params": {"num_leaves": 31, "eta": 0.05}, "state": "done", "figure": 0.71, "rounds": 30, "seconds": 1.5}
    async with theirs.begin() as tx:
        await trainer_store.accept(tx, request, None)
        await tx.execute(sa.update(jobs).values(stage="train"))
        stage = {"request_id": "r1", "max_attempts": 3, "retry_pause_s": 1.0}
        for place, name in enumerate(("get-data", "train")):
            log = f"<b>log of {name}</b>"
            values = stage | {"stage": name, "place": place, "log_tail": log, "result": {"trials": [trial] * place}}
            await tx.execute(sa.insert(job_stages).values(values))
    async with pressing(database, tmp_path, trainer=app) as press:
        page = (await press.look("/jobs/r1")).text
        assert "training, asked for by ann: by hand" in page
        assert "&lt;b&gt;log of train&lt;/b&gt;" in page, "of the stage that it came to"
        assert "log of get-data&lt;" in (await press.look("/jobs/r1?stage=get-data")).text
        assert "train, 40 %: round 30" in page
        assert "num leaves <b>31</b>" in page and "0.71" in page
        listed = (await press.look("/jobs?model=flights&state=training")).text
        assert listed.count("/dashboard/jobs/r1") == 1 and "Cancel r1" in listed
        assert "/dashboard/jobs/r1" not in (await press.look("/jobs?state=failed")).text
    async with pressing(database, tmp_path) as press:
        page = (await press.look("/jobs/r1")).text
        assert "SHIPWAY_MONITOR__DASHBOARD__TRAINER_URL" in page and "train, 40 %: round 30" in page
    async with database.begin() as tx:
        await tx.execute(sa.update(t.requests).values(state="failed").where(t.requests.c.request_id == "r1"))
    async with pressing(database, tmp_path, trainer=app) as press:
        assert 'data-stages="get-data train"' in (await press.look("/jobs/r1")).text


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"{}", "TRAINER_TOKEN"),
        (500, b"", "answered 500"),
        (200, b"<html>", "http://trainer"),
        (200, b"[]", "http://trainer"),
        (200, b" " * 4_000_001, "more than"),
    ],
)
async def test_a_trainer_that_answers_otherwise_is_said_and_no_error(status: int, body: bytes, says: str) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(answer)) as client:
        told = await TrainerJobs(client, "http://trainer/", "t").told("r/../1", None)
    assert told.job is None and says in told.problem
    async with httpx.AsyncClient() as client:
        away = await TrainerJobs(client, "http://127.0.0.1:9", "").told("r1", "train")
    assert away.problem.startswith("the trainer at http://127.0.0.1:9: ") and away.trials == []
    assert Told().trials == []
