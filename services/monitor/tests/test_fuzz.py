"""The monitor under requests made from its own document, and its handlers under events of any content."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from restfuzz import fuzz

from shipway.contract.envelope import decode
from shipway.contract.errors import Permanent
from shipway.contract.events import EVENT_TYPES
from shipway.monitor import handlers
from shipway.monitor.api import add_routes
from shipway.runtime.authsettings import AccessSettings
from shipway.runtime.database import Database
from shipway.runtime.guard import Guard
from shipway.runtime.ops import Readiness, add_ops_routes

GOLDEN = Path(__file__).parents[3] / "libs" / "common" / "tests" / "golden"
HANDLED = sorted(t.type for t in handlers.handlers())
FIELDS = {name: sorted(json.loads((GOLDEN / f"{name}.json").read_text())["value"]) for name in HANDLED}
REQUEST = json.loads((GOLDEN / "shipway.TrainingRequested.v1.json").read_text())["value"]["request_id"]
# Such as no compression makes small enough for an index.
LONG = "".join(hashlib.sha512(bytes([i])).hexdigest() for i in range(80))
Put = Callable[..., Awaitable[None]]


@pytest.fixture
async def rest(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    add_ops_routes(app, Readiness())
    presence: Any = SimpleNamespace(envelopes={}, values={})
    add_routes(app, database, presence, 10.0)
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
        await put(golden(name, **({"spec": raw_spec("flights")} if "spec" in FIELDS[name] else {})).payload)
    # /readyz says 503 by design while nothing runs.
    counts = await fuzz(rest, each=8, skip=["/readyz"], change=to_what_is_there)
    assert {status for _, status in counts} >= {200, 404, 422}, counts


def golden(name: str, **changes: Any) -> Any:
    raw = json.loads((GOLDEN / f"{name}.json").read_text())
    headers = [(k, v.encode()) for k, v in raw["headers"].items()]
    return decode(json.dumps(raw["value"] | changes).encode(), headers)


async def tried(database: Database, event: Any) -> bool:
    """Whether an event is handled; False where it is refused as Permanent. Anything else would stop the service."""
    try:
        async with database.begin() as tx:
            await handlers.handlers()[type(event.payload)](tx, event.payload, event)
    except Permanent as refusal:
        assert str(refusal)
        return False
    return True


@pytest.mark.parametrize("name", HANDLED)
async def test_no_text_is_too_long_for_the_database(database: Database, name: str) -> None:
    raw = json.loads((GOLDEN / f"{name}.json").read_text())["value"]
    for field in (f for f in FIELDS[name] if isinstance(raw[f], str)):
        try:
            event = golden(name, **{field: LONG})
        except Permanent:
            continue
        await tried(database, event)


NUMBERS = st.sampled_from([-1, 0, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, 2**64 - 1, 1e308, -1e308, 5e-324])
TEXTS = st.text(max_size=20) | st.sampled_from(
    [LONG, "x" * 5000, "\u202e", "'; drop table events; --", "9" * 400, "%s", ""]
)
TIMES = st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59Z"])
ODD = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_content_of_an_event_is_a_bug(database: Database, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(HANDLED))
    changes = data.draw(st.dictionaries(st.sampled_from(FIELDS[name]), ODD, min_size=1, max_size=3))
    try:
        event = golden(name, **changes)
    except Permanent:
        return
    await tried(database, event)


async def test_a_huge_or_mangled_batch_is_refused_and_a_good_one_taken(
    database: Database, record: Callable[..., Any], log: Put
) -> None:
    for odd in ({"at": datetime(1, 1, 1, tzinfo=UTC)}, {"model": "x" * 5000}, {"latency_us": -1}, {"version": -1}):
        with pytest.raises(Permanent):
            await log([record(**odd)])
    async with database.begin() as tx:
        with pytest.raises(Permanent):
            await handlers.on_predictions(tx, SimpleNamespace(value=b"\xff" * 100))  # type: ignore[arg-type]
    await log([record(at=datetime(1970, 1, 1, tzinfo=UTC)), record(model="m" * 256, latency_us=0)])


def test_the_types_of_the_table_are_all_tried() -> None:
    assert set(HANDLED) <= set(EVENT_TYPES)
    assert len(HANDLED) > 10
