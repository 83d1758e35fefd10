"""Trainings are asked for over HTTP: by curl as in the example, once under an id, and refused in words."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from shipway.contract import events as e
from shipway.contract.envelope import Envelope, decode
from shipway.monitor.trainingroutes import add_training_routes
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox
from shipway.runtime.refusals import add_refusals

EXAMPLE = Path(__file__).parents[3] / "examples" / "triggers" / "curl_training.sh"
Put = Callable[..., Awaitable[None]]


@pytest.fixture
async def url(database: Database, put: Put, raw_spec: Callable[..., dict[str, Any]]) -> AsyncIterator[str]:
    """A monitor with the model m that listens."""
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"))
    app = FastAPI()
    add_refusals(app)
    add_training_routes(app, database, lambda: None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def asked(database: Database) -> list[Envelope]:
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
    found = [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])) for r in rows]
    return [event for event in found if isinstance(event.payload, e.TrainingRequested)]


async def test_the_example_with_curl_asks(url: str, database: Database) -> None:
    if shutil.which("curl") is None:
        missing = "curl is not installed; it is Debian's package of that name"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    process = await asyncio.create_subprocess_exec(
        str(EXAMPLE), "m", "nightly-1", env=os.environ | {"SHIPWAY_MONITOR_URL": url}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert (process.returncode, msgspec.json.decode(out)) == (0, {"model": "m", "request_id": "nightly-1"})
    (event,) = await asked(database)
    assert event.payload == e.TrainingRequested(
        model="m", request_id="nightly-1", reason="asked for over HTTP", requested_by="a script"
    )
    assert (event.id, event.source) == ("nightly-1", "shipway/monitor"), "again under the same id is the same event"


async def test_what_is_wrong_is_refused_by_its_field(url: str, database: Database) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        unknown = await client.post("/api/models/other/trainings", json={"by": "ann"})
        assert unknown.status_code == 404 and "shipway model declare" in unknown.text
        wrong: list[dict[str, object]] = [{}, {"by": ""}, {"by": "a\x00"}, {"by": "a", "more": 1}]
        for body in (*wrong, {"by": "a", "until": "2026-01-01T00:00:00"}, {"by": "a", "request_id": "a b"}):
            refused = await client.post("/api/models/m/trainings", json=body)
            assert refused.status_code == 422, body
        good = {"by": "ann", "until": "2026-01-01T00:00:00Z", "reason": "new data"}
        answer = await client.post("/api/models/m/trainings", json=good)
    assert answer.status_code == 202
    (event,) = await asked(database)
    assert isinstance(event.payload, e.TrainingRequested)
    assert (event.payload.request_id, event.payload.until is not None) == (answer.json()["request_id"], True)
