"""The gateway under requests made from its own document, and under hostile ones: every answer is a documented one."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from restfuzz import fuzz

from shipway.contract.events import FeaturesPublished, FeedbackReceived
from shipway.gateway.api import add_routes
from shipway.runtime.authsettings import AccessSettings
from shipway.runtime.guard import Guard
from shipway.runtime.ops import Readiness, add_ops_routes

# Asked without a server, there is one door.
pytestmark = pytest.mark.parametrize("gateways", ["ASGI"], indirect=True)
ROW = {"size": 1.0, "colour": "red"}


@pytest.fixture
def kafkas() -> list[Any]:
    return []


@pytest.fixture
def kafka(rest: httpx.AsyncClient, kafkas: list[Any]) -> Any:
    return kafkas[0]


@pytest.fixture
async def rest(gateways: Any, predictors: Any, kafkas: list[Any]) -> AsyncIterator[httpx.AsyncClient]:
    """The whole of the gateway's HTTP, with one model on one instance, and one row of a look-up table."""
    gateway = await gateways(body_bytes=200_000)
    kafkas.append(gateway.kafka)
    gateway.features.topic.caught_up.set()
    gateway.hears(FeaturesPublished(table="people", key="7", values={"colour": "red"}, at=datetime.now(UTC)))
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    add_ops_routes(gateway.rest, Readiness())
    add_routes(gateway.rest, gateway.registry, gateway.results, gateway.kafka, "t")
    app = Guard(AccessSettings(body_bytes=5000), None).around(gateway.app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client


def to_our_model(case: Any) -> None:
    """Every other case meets the model that is there."""
    if case.path == "/predict" and isinstance(case.body, dict) and len(str(case.body)) % 2:
        case.body |= {"models": ["m"], "row": ROW}
        for name in ("rows", "columns", "data", "group", "client_ids"):
            case.body.pop(name, None)
    if "table" in (case.path_parameters or {}) and len(str(case.path_parameters["table"])) % 2:
        case.path_parameters |= {"table": "people", "key": "7"}
    if "model" in (case.path_parameters or {}) and len(str(case.path_parameters["model"])) % 2:
        case.path_parameters["model"] = "m"


async def test_requests_made_from_the_document_get_documented_answers(rest: httpx.AsyncClient, kafka: Any) -> None:
    # /readyz says 503 by design while nothing runs.
    counts = await fuzz(rest, each=8, skip=["/readyz"], change=to_our_model)
    assert {status for _, status in counts} >= {200, 202, 404, 422}, counts
    assert kafka.told


NAMES = ["../etc/passwd", "..%2f..%2fetc", "%00", "m%0d%0aset-cookie:x=1", "%ff%fe", "\u202em", "x" * 8000]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_is_no_models_is_not_found(rest: httpx.AsyncClient, name: str) -> None:
    for answer in (
        await rest.post(f"/predict/{name}", json={"row": ROW}),
        await rest.get(f"/models/{name}"),
        await rest.get(f"/features/{name}/{name}"),
    ):
        assert answer.status_code in (404, 405), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "set-cookie" not in answer.headers
        assert len(answer.content) < 1000, "what is wrong is shown in part"


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v2/models/m/versions/x/infer", "/predict", "/predict/m"])
async def test_no_way_of_asking_takes_a_body_without_end(rest: httpx.AsyncClient, path: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 50_000

    answer = await rest.post(path, content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413, answer.text


HEADERS = [
    ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\r\nset-cookie: x=1"),
    ("traceparent", b"\xff\xfe\x00"),
    ("traceparent", b"x" * 50_000),
    ("content-length", b"-1"),
    ("content-length", b"99999999999999999999"),
    ("content-length", b"\xb2"),
    ("content-type", b"\xff"),
    ("content-encoding", b"gzip"),
    ("accept", b"\x00"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
async def test_odd_headers_neither_harm_nor_come_back(rest: httpx.AsyncClient, name: str, value: bytes) -> None:
    content = b'{"row": {"size": 1.0, "colour": "red"}}'
    answer = await rest.post("/predict/m", content=content, headers=[(name.encode(), value)])
    assert answer.status_code in (200, 413)
    assert "set-cookie" not in answer.headers
    assert all(value not in v for k, v in answer.headers.raw if k != b"traceparent" or name == "traceparent"), (
        "nothing is echoed"
    )


DEEP = b"[" * 2000 + b"]" * 2000
LABELS = [
    b'{"model": "m", "prediction_id": "p", "label": ' + DEEP + b"}",
    b'{"model": "m", "prediction_id": "p", "label": "x", "observed_at": "99999-01-01T00:00:00Z"}',
    b'{"model": "m", "prediction_id": "p", "label": "x", "observed_at": 1e300}',
    b'{"model": "../m", "prediction_id": "p", "label": 1}',
    b'{"model": "m\\u0000", "prediction_id": "p", "label": 1}',
    b'{"model": "m", "prediction_id": "p\\u0000", "label": 1}',
    b'{"model": "m", "prediction_id": "p", "label": "a\\u0000"}',
    b'{"model": "m", "prediction_id": "p", "label": NaN}',
    b'{"model": "m", "prediction_id": "p", "label": 1e999}',
    b'{"model": "m", "prediction_id": "p", "label": "\\ud800"}',
    b'{"model": "m", "prediction_id": "p", "label": 1, "more": 1}',
    b'{"model": "m", "prediction_id": "p", "label": "\xff"}',
    b"[" * 5000,
    b"",
]


@pytest.mark.parametrize("body", LABELS)
async def test_feedback_that_is_none_goes_no_further(rest: httpx.AsyncClient, kafka: Any, body: bytes) -> None:
    answer = await rest.post("/feedback", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert kafka.told == []


@pytest.mark.parametrize("said", ["application/x-www-form-urlencoded", "text/plain", "\xe9/x", None])
async def test_feedback_that_is_not_said_to_be_json_is_told_which_header_to_send(
    rest: httpx.AsyncClient, kafka: Any, said: str | None
) -> None:
    body = b'{"model": "m", "prediction_id": "p", "label": 1}'
    headers = {} if said is None else {b"content-type": said.encode("latin-1")}
    answer = await rest.post("/feedback", content=body, headers=headers)
    assert answer.status_code == 415
    (wrong,) = answer.json()["errors"]
    assert wrong["field"] == "content-type" and "-H 'content-type: application/json'" in wrong["problem"]
    assert kafka.told == []
    answer = await rest.post("/feedback", content=body, headers={"content-type": "application/json; charset=utf-8"})
    assert answer.status_code == 202


async def test_feedback_has_a_size_and_kafka_an_outage(rest: httpx.AsyncClient, kafka: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1000

    for body in (b" " * 5001, endless()):
        assert (await rest.post("/feedback", content=body)).status_code == 413
    good = {"model": "m", "prediction_id": "p", "label": 1.5}
    assert (await rest.post("/feedback", json=good)).status_code == 202
    assert isinstance(kafka.told[0], FeedbackReceived)
    kafka.away = True
    answer = await rest.post("/feedback", json=good)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


ROWS: list[Any] = [
    {"size": 1e308 * 10, "colour": "red"},
    {"size": 10**400, "colour": "red"},
    {"size": True, "colour": "red"},
    {"size": [1], "colour": "red"},
    {"size": 1.0, "colour": "r" * 100_000},
    {"size": 1.0, "colour": "\x00"},
    {"size": 1.0, "colour": {"$ne": 1}},
    {"size": 1.0, "colour": "red", "__proto__": 1},
    {"": 1},
]


SPLIT: list[Any] = [
    {"columns": ["size", "colour"], "data": [[1e308 * 10, "red"]]},
    {"columns": ["size", "colour"], "data": [[10**400, "red"]]},
    {"columns": ["size", "size"], "data": [[1, 2]]},
    {"columns": ["s" * 50_000], "data": [[1]]},
    {"columns": [f"c{i}" for i in range(5000)], "data": [[0] * 5000]},
    {"columns": ["size", "colour"], "data": [[1, "red"], [1, "red", 2]]},
    {"columns": ["size", "colour"], "data": [{"size": 1, "colour": "red"}]},
    {"columns": ["size", "colour"], "data": [[1, ["red"]]]},
    {"columns": [], "data": [[]]},
    {"columns": [], "data": [[]] * 20_000},
    {"columns": {"size": 0}, "data": [[1]]},
    {"columns": ["\x00", "\ud800"], "data": [[1, 2]]},
]


@pytest.mark.parametrize("path", ["/predict/m", "/predict"])
@pytest.mark.parametrize("body", SPLIT)
async def test_odd_columns_and_data_are_refused_by_name(rest: httpx.AsyncClient, path: str, body: Any) -> None:
    asked = body if path == "/predict/m" else body | {"models": ["m"]}
    answer = await rest.post(path, content=json.dumps(asked))
    assert answer.status_code in (400, 422), answer.text
    assert len(answer.content) < 10_000
    good = {"columns": ["size", "colour"], "data": [[1.0, "red"]]}
    assert (await rest.post("/predict/m", json=good)).status_code == 200, "and nobody else is harmed"


@pytest.mark.parametrize("row", ROWS)
async def test_a_row_of_odd_values_is_answered_or_refused_by_field(rest: httpx.AsyncClient, row: Any) -> None:
    answer = await rest.post("/predict/m", content=json.dumps({"row": row}))
    assert answer.status_code in (200, 400, 422), answer.text
    assert len(answer.content) < 5000
    assert (await rest.post("/predict/m", json={"row": ROW})).status_code == 200, "and nobody else is harmed"
