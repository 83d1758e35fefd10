"""The monitor under requests made from its own document, and its handlers under events of any content."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import eventfuzz
import httpx
import pytest
from fastapi import FastAPI
from restfuzz import fuzz

from shipway.contract.errors import Permanent
from shipway.contract.events import EVENT_TYPES, ModelDeclared
from shipway.monitor import handlers
from shipway.monitor.api import add_routes
from shipway.monitor.learning import KnownBins
from shipway.monitor.letterroutes import add_letter_routes
from shipway.monitor.staging import Room
from shipway.runtime.authsettings import AccessSettings
from shipway.runtime.database import Database
from shipway.runtime.guard import Guard
from shipway.runtime.ops import Readiness, add_ops_routes

HANDLED = sorted(t.type for t in handlers.handlers())
REQUEST = eventfuzz.golden("shipway.TrainingRequested.v1").payload.request_id  # type: ignore[union-attr]
Put = Callable[..., Awaitable[None]]


@pytest.fixture
async def rest(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    add_ops_routes(app, Readiness())
    presence: Any = SimpleNamespace(envelopes={}, values={})
    add_routes(app, database, presence, 10.0)
    add_letter_routes(app, database, lambda: None)
    guarded = Guard(AccessSettings(), None).around(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://monitor") as client:
        yield client


def to_what_is_there(case: Any) -> None:
    """Every other case meets the model, or the request, that is there."""
    for name, known in (("model", "flights"), ("request_id", REQUEST)):
        if name in (case.path_parameters or {}) and len(str(case.path_parameters[name])) % 2:
            case.path_parameters[name] = known


async def test_requests_made_from_the_document_get_documented_answers(
    rest: httpx.AsyncClient, put: Put, raw_spec: Callable[..., dict[str, Any]]
) -> None:
    for name in HANDLED:
        changes = {"spec": raw_spec("flights")} if name == ModelDeclared.type else {}
        await put(eventfuzz.golden(name, **changes).payload)
    # /readyz says 503 by design while nothing runs.
    counts = await fuzz(rest, each=8, skip=["/readyz"], change=to_what_is_there)
    assert {status for _, status in counts} >= {200, 404, 422}, counts


async def test_no_content_of_an_event_is_a_bug(database: Database) -> None:
    outcomes = await eventfuzz.fuzz(database, handlers.handlers())
    assert min(outcomes.values()) > 10, outcomes


async def test_a_huge_or_mangled_batch_is_refused_and_a_good_one_taken(
    database: Database, record: Callable[..., Any], log: Put
) -> None:
    for odd in ({"at": datetime(1, 1, 1, tzinfo=UTC)}, {"model": "x" * 5000}, {"latency_us": -1}, {"version": -1}):
        with pytest.raises(Permanent):
            await log([record(**odd)])
    async with database.begin() as tx:
        with pytest.raises(Permanent):
            await handlers.on_predictions(tx, [SimpleNamespace(value=b"\xff" * 100)], room=Room(1), known=KnownBins())
    await log([record(at=datetime(1970, 1, 1, tzinfo=UTC)), record(model="m" * 256, latency_us=0)])


def test_the_types_of_the_table_are_all_tried() -> None:
    assert set(HANDLED) <= set(EVENT_TYPES)
    assert len(HANDLED) > 10
