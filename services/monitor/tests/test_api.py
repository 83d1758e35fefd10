"""The read API over a real PostgreSQL: its answers, its refusals, its document."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.monitor import alerts
from shipway.monitor.alerting import Rule
from shipway.monitor.api import add_routes
from shipway.monitor.historian import Historian
from shipway.monitor.judgement import Finding
from shipway.monitor.settings import HistorySettings
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)
Put = Callable[..., Awaitable[None]]


def said(instance: str, age_s: float) -> Envelope:
    loaded = e.LoadedVersion(model="m", version=1, digest="d", state="ready", answered=7)
    now = datetime.now(UTC)
    presence = e.Presence(
        instance=instance, url="http://x", started_at=now, library_versions={}, generations={}, versions=[loaded]
    )
    return Envelope("e", "s", now - timedelta(seconds=age_s), presence)


@pytest.fixture
async def api(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    heard = {"fresh": said("fresh", 1), "silent": said("silent", 60)}
    presence: Any = SimpleNamespace(envelopes=heard, values={name: event.payload for name, event in heard.items()})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        await client.get("/livez")  # in a service, the first requests come before the routes
        add_routes(app, database, presence, 10.0)
        yield client


async def story(put: Put, raw_spec: Callable[..., dict[str, Any]]) -> None:
    await put(e.ModelDeclared(model="m", spec=raw_spec(description="a model"), declared_by="ann"))
    await put(e.TrainingRequested(model="m", request_id="r1", reason="nightly"), trace="c")
    gates = [e.Gate(name="floor", passed=True, figure=0.8, limit=0.7, reason="0.8 is at least 0.7")]
    figures: dict[str, Any] = {"gates": gates, "metrics": {"auc": 0.8}, "champion_metrics": {}}
    approved = e.ModelApproved(
        model="m",
        version=1,
        digest="d",
        request_id="r1",
        champion_version=None,
        signature={},
        release={},
        prediction_log={},
        **figures,
    )
    await put(approved, T0)
    released: dict[str, Any] = {"model": "m", "digest": "d", "release_id": "x", "generation": 1, "reason": ""}
    await put(e.ReleasePromoted(version=1, previous_version=None, **released), T0)
    progressed = e.ReleaseProgressed(
        model="m",
        version=2,
        release_id="y",
        from_state="loading",
        to_state="canary",
        candidate_share=0.25,
        generation=2,
        reason="ready",
    )
    await put(progressed, T0)


async def get(api: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    response = await api.get(path)
    assert response.status_code == status, response.text
    if status != 200:
        assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    return found


async def test_it_answers_what_it_was_told(
    api: httpx.AsyncClient,
    put: Put,
    raw_spec: Callable[..., dict[str, Any]],
    record: Callable[..., Any],
    log: Put,
) -> None:
    await story(put, raw_spec)
    await log([record(), record("refused", None)])
    (overview,) = (await get(api, "/api/status"))["models"]
    assert (overview["champion"], overview["version_count"]) == (1, 2)
    assert overview["release"] == {"version": 2, "state": "canary"}
    assert overview["traffic"] == {"1": 0.75, "2": 0.25}
    assert (await get(api, "/api/models"))["models"] == [overview]
    model = await get(api, "/api/models/m")
    assert model["spec"]["description"] == "a model"
    assert [v["state"] for v in model["versions"]] == ["champion", "canary"]
    one = await get(api, "/api/models/m/versions/1")
    assert one == model["versions"][0]
    assert one["gates"][0]["reason"] == "0.8 is at least 0.7"
    assert (await get(api, "/api/requests/r1"))["reason"] == "nightly"
    usage = (await get(api, "/api/models/m/usage"))["versions"]
    assert (usage["1"]["answered"], usage["0"]["refused"]) == (1, 1)
    instances = (await get(api, "/api/instances"))["instances"]
    assert {i["instance"]: i["present"] for i in instances} == {"fresh": True, "silent": False}


async def test_the_files_of_predictions_are_listed_by_day(
    api: httpx.AsyncClient,
    database: Database,
    put: Put,
    raw_spec: Callable[..., dict[str, Any]],
    record: Callable[..., Any],
    log: Put,
    tmp_path: Path,
) -> None:
    await story(put, raw_spec)
    await log([record(), record(at=T0 + timedelta(days=1)), record(at=T0 + timedelta(days=1))])
    assert await get(api, "/api/models/m/history") == {"files": [], "waiting_rows": 3}
    store = FolderStore(tmp_path)
    await Historian(database, store, HistorySettings(roll_s=1e-6)).step()
    both = await get(api, "/api/models/m/history")
    assert ([(f["day"], f["rows"]) for f in both["files"]], both["waiting_rows"]) == (
        [("2026-01-01", 1), ("2026-01-02", 2)],
        0,
    )
    second = await get(api, "/api/models/m/history?day=2026-01-02")
    assert second["files"] == both["files"][1:]
    data = store.get(second["files"][0]["key"], second["files"][0]["bytes"])
    assert hashlib.sha256(data).hexdigest() == second["files"][0]["sha256"]


async def test_events_are_filtered_and_paged(
    api: httpx.AsyncClient, put: Put, raw_spec: Callable[..., dict[str, Any]]
) -> None:
    await story(put, raw_spec)
    everything = (await get(api, "/api/events"))["events"]
    assert len(everything) == 5
    paged: list[dict[str, Any]] = []
    cursor = 0
    while page := (await get(api, f"/api/events?after={cursor}&limit=2"))["events"]:
        paged, cursor = paged + page, page[-1]["id"]
    assert paged == everything
    assert (await get(api, "/api/events?limit=2"))["events"] == everything[-2:]
    assert len((await get(api, f"/api/events?trace={'c' * 32}"))["events"]) == 1
    assert len((await get(api, f"/api/events?type={e.ReleasePromoted.type}&model=m"))["events"]) == 1
    assert (await get(api, "/api/events?model=other"))["events"] == []


REFUSALS = [
    ("/api/models/none", 404, "none"),
    ("/api/models/none/usage", 404, "none"),
    ("/api/models/none/levels", 404, "none"),
    ("/api/models/none/history", 404, "none"),
    ("/api/models/m/history?day=2026-02-30", 422, "day"),
    ("/api/models/none/versions/3", 404, "version 3"),
    ("/api/requests/none", 404, "none"),
    ("/api/models/a%00b", 422, "model"),
    ("/api/models/m/versions/0", 422, "version"),
    ("/api/models/m/versions/99999999999", 422, "version"),
    ("/api/events?limit=1001", 422, "limit"),
    ("/api/events?trace=%00", 422, "trace"),
    ("/api/events?after=-1", 422, "after"),
]


async def test_a_refusal_says_what_is_wrong(api: httpx.AsyncClient) -> None:
    for path, status, named in REFUSALS:
        found = await get(api, path, status)
        assert (found["status"], named in found["detail"]) == (status, True), path


async def test_the_document_names_every_answer(api: httpx.AsyncClient) -> None:
    paths = (await get(api, "/openapi.json"))["paths"]
    documented = 0
    for path, methods in paths.items():
        for method, operation in methods.items():
            answered = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            schema = answered["content"]["application/json"]["schema"]
            assert schema["$ref"].startswith("#/components/schemas/"), (method, path)
            documented += 1
    assert documented == 17


async def test_an_alert_is_listed_acknowledged_and_silenced(api: httpx.AsyncClient, database: Database) -> None:
    bad = Finding(1, "rare answer", "late", "alarm", True, 0.2, 0.05, None, "why")
    async with database.begin() as tx:
        await alerts.follow(tx, "shipway/monitor", "m", [bad], Rule({}), T0)
    (alert,) = (await get(api, "/api/alerts?model=m"))["alerts"]
    assert (alert["kind"], alert["page"], alert["silenced"]) == ("rare answer", "docs/playbook.md#rare-answer", False)
    assert (await get(api, "/api/alerts?model=other"))["alerts"] == []
    assert (await api.post(f"/api/alerts/{alert['id']}/ack", json={"by": "ann"})).json()["acked_by"] == "ann"
    assert (await api.post("/api/alerts/none/ack", json={"by": "ann"})).status_code == 404
    for wrong in ({"lasts": "31d"}, {"lasts": "0s"}, {"lasts": "soon"}, {"lasts": "1h", "kind": "weather"}):
        assert (await api.post("/api/silences", json=wrong | {"by": "ann"})).status_code == 422, wrong
    made = await api.post("/api/silences", json={"lasts": "1h", "kind": "rare_answer", "by": "ann"})
    assert made.status_code == 201
    assert (await get(api, "/api/alerts"))["alerts"][0]["silenced"]
    assert [one["id"] for one in (await get(api, "/api/silences"))["silences"]] == [made.json()["id"]]
    assert (await api.delete(f"/api/silences/{made.json()['id']}")).status_code == 200
    assert (await api.delete(f"/api/silences/{made.json()['id']}")).status_code == 404
