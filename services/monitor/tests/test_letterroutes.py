"""Dead letters over HTTP: listed page by page, shown whole, and sent again as by the dashboard, which is on record."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from shipway.contract.events import DeadLettered
from shipway.monitor import letters
from shipway.monitor.letterroutes import add_letter_routes
from shipway.runtime.database import Database
from shipway.runtime.refusals import add_refusals

Put = Callable[..., Awaitable[None]]
HEADERS = [("ce_id", b"e9"), ("ce_type", b"shipway.TrainingRequested.v1"), ("odd", b"\xff")]
LETTER = DeadLettered(
    service="trainer",
    topic="shipway.training-requests",
    partition=0,
    offset=3,
    reason="request_id: is missing; send one",
    error="InvalidField",
    at=datetime(2026, 1, 1, tzinfo=UTC),
    key=b"flights",
    value=b"{}",
    headers=HEADERS,
)


@pytest.fixture
async def api(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The routes; what wakes the relay is counted in ``app.state``."""
    app = FastAPI()
    app.state.woken = 0

    def wake() -> None:
        app.state.woken += 1

    add_refusals(app)
    add_letter_routes(app, database, wake)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        yield client
        assert app.state.woken == len(await _outgoing(database)), "the relay is woken for each message, and no other"


async def _outgoing(database: Database) -> list[Any]:
    async with database.begin() as tx:
        return list((await tx.execute(sa.text("select topic, key, value, headers from outbox order by seq"))).all())


async def _listed(api: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/api/dead-letters", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["letters"]
    return found


async def test_a_letter_goes_again_as_it_was_and_that_is_on_record(
    api: httpx.AsyncClient, put: Put, database: Database
) -> None:
    await put(LETTER)
    (one,) = await _listed(api, service="trainer")
    told = (one["type"], one["offset"], one["whole"], one["bytes"], one["sent_again_at"])
    assert told == ("shipway.TrainingRequested.v1", 3, True, 2, None)
    assert await _listed(api, service="monitor") == []
    where = f"/api/dead-letters/{one['id']}"
    whole = (await api.get(where)).json()
    assert (whole["key"], whole["value"], whole["headers"]["odd"]) == ("flights", "{}", "\\xff")
    assert {name: whole[name] for name in one} == one
    answer = await api.post(f"{where}/send-again", json={"by": "ann"})
    assert answer.json() == {"id": one["id"], "topic": LETTER.topic}
    ((topic, key, value, headers),) = await _outgoing(database)
    assert (topic, key, value) == (LETTER.topic, b"flights", b"{}")
    assert msgspec.msgpack.decode(headers, type=list[tuple[str, bytes]]) == HEADERS
    assert (await api.get(where)).json()["sent_again_by"] == "ann"


async def test_older_letters_come_on_the_next_page(
    api: httpx.AsyncClient, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "SHOWN", 2)
    for offset in range(3):
        await put(msgspec.structs.replace(LETTER, offset=offset))
    first = await _listed(api)
    assert [one["offset"] for one in first] == [2, 1]
    rest = await _listed(api, before=first[-1]["id"])
    assert [one["offset"] for one in rest] == [0]
    assert await _listed(api, before=rest[-1]["id"]) == []


async def test_what_can_not_be_sent_is_refused_by_its_field(api: httpx.AsyncClient, put: Put) -> None:
    await put(msgspec.structs.replace(LETTER, topic="shipway.release-events"))
    await put(msgspec.structs.replace(LETTER, value=b"x" * 500_000))
    cut, astray = await _listed(api)
    assert not cut["whole"]
    refused = [
        (f"/api/dead-letters/{cut['id']}/send-again", {"by": "ann"}, 422, "value"),
        (f"/api/dead-letters/{astray['id']}/send-again", {"by": "ann"}, 422, "topic"),
        (f"/api/dead-letters/{cut['id']}/send-again", {}, 422, "by"),
        (f"/api/dead-letters/{cut['id'] + 1}/send-again", {"by": "ann"}, 404, None),
    ]
    for path, body, status, field in refused:
        answer = await api.post(path, json=body)
        named = [e["field"] for e in answer.json().get("errors", [])]
        assert (answer.status_code, named) == (status, [field] if field else []), answer.text
    unknown = await api.get("/api/dead-letters", params={"service": "gateway"})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "service")
