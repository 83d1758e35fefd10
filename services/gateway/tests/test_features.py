"""Look-ups through the gateway: each way of asking, what there is no room for, and versions whose rules differ."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from shipway.cli.doctor import Finding, look_ups
from shipway.client import Addresses
from shipway.contract import rows as protocol
from shipway.contract.envelope import Envelope, encode
from shipway.contract.events import FeaturesPublished, Traffic
from shipway.gateway import featuretable
from shipway.gateway.api import add_routes
from shipway.gateway.app import _unread
from shipway.gateway.features import add_features
from shipway.runtime.metrics import TABLE_RECORDS

FEATURES = [{"name": "size", "type": "number"}, {"name": "colour", "type": "category", "categories": ["red"]}]
RULE = {"table": "people", "key": "person", "features": ["colour"]}
LOOKING = {"features": FEATURES, "output": "binary", "target": "late", "classes": ["no", "yes"], "lookups": [RULE]}
OTHER = LOOKING | {"lookups": [RULE | {"table": "others", "missing": "null"}]}


def knows(gateway: Any, key: str, values: Any = None, table: str = "people") -> None:
    """Hears of an entity."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    gateway.hears(FeaturesPublished(table=table, key=key, values=values or {"colour": "red"}, at=at))


def forgets(gateway: Any, name: str) -> None:
    gateway.features.topic._take(name.encode(), None, [])


def has_read(gateway: Any) -> None:
    gateway.features.topic.caught_up.set()
    gateway.features.on_read()


async def looking(gateways: Any, predictors: Any, read: bool = True, signature: Any = LOOKING, **limits: Any) -> Any:
    """A gateway whose model ``m`` looks features up, on both instances."""
    gateway = await gateways(**limits)
    gateway.wants((1, "champion", 1.0), signature=signature)
    for predictor in predictors:
        await gateway.knows(predictor, 1)
    if read:
        has_read(gateway)
    return gateway


def scored(predictors: Any) -> list[list[float]]:
    return [protocol.matrix(ask, 2)[0].tolist() for one in predictors for ask in one.asks if ask.model]


async def test_a_key_takes_the_place_of_features_and_the_newest_row_counts(gateways: Any, predictors: Any) -> None:
    gateway = await looking(gateways, predictors)
    knows(gateway, "7")
    row = {"size": 1.0, "person": 7}
    answer = await gateway.ask({"row": row})
    assert answer.status_code == 200, answer.text
    assert answer.json()["looked_up"] == {"people": 1}
    knows(gateway, "7", {"colour": "blue"})
    assert (await gateway.ask({"row": row})).status_code == 200
    assert (await gateway.ask({"row": row | {"colour": "red"}})).json()["looked_up"] == {"people": 0}
    forgets(gateway, "people/7")
    refused = await gateway.ask({"row": row})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "rows[0].person")
    assert sorted(scored(predictors)) == [[1.0, -1.0], [1.0, 0.0], [1.0, 0.0]]


async def test_one_row_that_is_not_known_fails_its_own_request_alone(gateways: Any, predictors: Any) -> None:
    gateway = await looking(gateways, predictors)
    knows(gateway, "7")
    both = [gateway.ask({"row": {"size": 1.0, "person": key}}) for key in ("7", "8")]
    assert [answer.status_code for answer in await asyncio.gather(*both)] == [200, 422]
    two = await gateway.ask({"rows": [{"size": 1.0, "person": "7"}, {"size": 1.0, "person": "8"}]})
    assert [e["field"] for e in two.json()["errors"]] == ["rows[1].person"]


async def test_a_value_that_does_not_fit_names_its_table(gateways: Any, predictors: Any) -> None:
    gateway = await looking(gateways, predictors)
    knows(gateway, "7", {"colour": 1.5})
    refused = await gateway.ask({"row": {"size": 1.0, "person": "7"}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["problem"].endswith("(looked up in people)")


async def test_without_a_look_up_the_answer_says_nothing_of_one(gateways: Any, predictors: Any) -> None:
    gateway = await looking(gateways, predictors, signature={**LOOKING, "lookups": []})
    assert not gateway.features.wanted.is_set(), "nobody needs the tables"
    assert "looked_up" not in (await gateway.ask()).json()


async def test_a_tensor_may_be_the_key(gateways: Any, predictors: Any) -> None:
    gateway = await looking(gateways, predictors)
    knows(gateway, "7")
    inputs = [
        {"name": "size", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]},
        {"name": "person", "datatype": "INT64", "shape": [2], "data": [7, 7]},
    ]
    answer = await gateway.http.post("/v2/models/m/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    (ask,) = [ask for one in predictors for ask in one.asks if ask.model]
    assert protocol.matrix(ask, 2).tolist() == [[1.0, 0.0], [2.0, 0.0]]
    inputs[1]["data"] = [7, 8]
    refused = await gateway.http.post("/v2/models/m/infer", json={"inputs": inputs})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "rows[1].person")


async def test_each_of_several_models_looks_up_its_own_and_says_so_now_and_later(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await gateways()
    add_routes(gateway.rest, gateway.registry, gateway.results, gateway.kafka, "t")
    gateway.wants((1, "champion", 1.0), model="m", signature=LOOKING)
    gateway.wants((1, "champion", 1.0), model="n")
    for predictor in predictors:
        await gateway.knows(predictor, 1, models=("m", "n"))
    has_read(gateway)
    knows(gateway, "7")
    asked = {"models": ["m", "n"], "require": "any"}
    answer = await gateway.http.post("/predict", json=asked | {"row": {"size": 1.0, "person": 7}})
    assert [a["model"] for a in answer.json()["answers"]] == ["m"], "n needs the colour itself"
    assert answer.json()["answers"][0]["looked_up"] == {"people": 1}
    both = await gateway.http.post("/predict", json=asked | {"row": {"size": 1.0, "person": 7, "colour": "red"}})
    assert [a["model"] for a in both.json()["answers"]] == ["m", "n"]
    assert [a.get("looked_up") for a in both.json()["answers"]] == [{"people": 0}, None]
    assert "looked_up" not in both.json()["answers"][1], "n looks nothing up"
    body = {"models": ["m"], "later": True, "rows": [{"size": 1.0, "person": 7}] * 2}
    accepted = (await gateway.http.post("/predict", json=body)).json()
    await eventually(lambda: len(gateway.kafka.told) == 2)
    found = (await gateway.http.get(accepted["result"])).json()
    assert [a["looked_up"] for a in found["answer"]["answers"]] == [{"people": 2}]


async def test_a_shadow_looks_up_by_its_own_rule(gateways: Any, predictors: Any, eventually: Any) -> None:
    gateway = await gateways()
    gateway.wants(
        (1, "champion", 1.0),
        (2, "candidate", 0.0),
        shadow=Traffic(version=2, share=1.0),
        signatures={1: LOOKING, 2: OTHER},
    )
    await gateway.knows(predictors[0], 1)
    await gateway.knows(predictors[1], 2)
    has_read(gateway)
    knows(gateway, "7")
    assert (await gateway.ask({"row": {"size": 1.0, "person": 7}})).json()["version"] == 1
    await eventually(lambda: scored(predictors[1:]))
    assert scored(predictors[:1]) == [[1.0, 0.0]]
    np.testing.assert_equal(scored(predictors[1:]), [[1.0, np.nan]])


async def test_a_version_answers_once_the_tables_are_read(gateways: Any, predictors: Any, eventually: Any) -> None:
    gateway = await looking(gateways, predictors, read=False, patience_ms=5000)
    assert gateway.features.wanted.is_set()
    assert not gateway.registry.routes["m"].routes, "until then it can't answer"
    knows(gateway, "7")
    early = asyncio.create_task(gateway.ask({"row": {"size": 1.0, "person": 7}}))
    await eventually(lambda: gateway.registry._waiting["m"] == 1)
    has_read(gateway)
    assert (await early).status_code == 200


async def test_a_gateway_that_starts_is_ready_with_the_tables_and_one_that_serves_stays_so(
    gateways: Any, predictors: Any
) -> None:
    starting = await looking(gateways, predictors, read=False)
    ready = _unread(starting.registry)
    assert ready() == "look-up tables not read yet"
    has_read(starting)
    assert ready() is None
    serving = await looking(gateways, predictors, read=False, signature={**LOOKING, "lookups": []})
    ready = _unread(serving.registry)
    assert ready() is None
    serving.wants((2, "champion", 1.0), signature=LOOKING, generation=2)
    assert serving.features.wanted.is_set() and ready() is None, "its other models go on"


async def test_a_canary_that_looks_up_first_leaves_the_champion_its_traffic_until_then(
    gateways: Any, predictors: Any
) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 0.0), (2, "candidate", 1.0), signatures={1: {**LOOKING, "lookups": []}, 2: LOOKING})
    for predictor in predictors:
        await gateway.knows(predictor, 1, 2)
    assert (await gateway.ask()).json()["version"] == 1
    has_read(gateway)
    assert (await gateway.ask()).json()["version"] == 2


async def test_what_has_no_room_is_told_and_does_not_pass_for_unknown(gateways: Any, predictors: Any) -> None:
    """Five rows are kept here (conftest.py)."""
    gateway = await looking(gateways, predictors, signature=OTHER)
    add_features(gateway.rest, gateway.features)
    for key in "12345":
        knows(gateway, key, table="others")
    unknown = {"row": {"size": 1.0, "person": "9"}}
    assert (await gateway.ask(unknown)).status_code == 200, "nulls, by its rule"
    knows(gateway, "6", table="others")
    room = gateway.features.room
    assert (room.rows, room.left_out) == (5, 1)
    assert (await gateway.ask({"row": {"size": 1.0, "person": "5"}})).status_code == 200
    refused = await gateway.ask(unknown)
    assert (refused.status_code, "no room here" in refused.json()["detail"]) == (503, True)
    knows(gateway, "5", {"colour": "green"}, table="others")
    assert gateway.features.room.left_out == 1, "a row takes its own place"
    told = (await gateway.http.get("/features")).json()
    assert (told["state"], told["tables"], told["left_out"]) == ("read", {"others": 5}, 1)


async def test_a_row_without_room_counts_once_until_it_has_room_or_goes(
    gateways: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(featuretable, "REMEMBERED", 3)
    gateway = await gateways()
    for key in "12345" + "678" * 3:
        knows(gateway, key)
    assert gateway.features.room.left_out == 3
    forgets(gateway, "people/1")
    knows(gateway, "6")
    assert (gateway.features.room.rows, gateway.features.room.left_out) == (5, 2)
    forgets(gateway, "people/7")
    assert gateway.features.room.left_out == 1
    for key in "78" + "9a" * 2:
        knows(gateway, key)
    assert gateway.features.room.left_out == 5, "beyond what is remembered by name each publication counts"
    for key in "789a":
        forgets(gateway, f"people/{key}")
    assert gateway.features.room.left_out == 2, "which of those have gone is not known"


async def test_a_person_is_told_what_has_no_room(gateways: Any) -> None:
    gateway = await gateways()
    add_features(gateway.rest, gateway.features)
    if gateway.server is None:
        await gateway.listen()
    here = Addresses(gateway=f"http://127.0.0.1:{gateway.port}")
    assert await look_ups(here) == []
    for key in "12345":
        knows(gateway, key)
    assert await look_ups(here) == [Finding("look-up tables", True, "5 rows in memory")]
    knows(gateway, "6")
    assert [(f.well, f.found) for f in await look_ups(here)] == [(False, "no room for 1 rows")]


async def test_memory_is_counted_back(gateways: Any) -> None:
    gateway = await gateways()
    for key in "123":
        knows(gateway, key)
        knows(gateway, key, {"colour": "a much longer colour than red"})
    assert gateway.features.room.bytes > 0
    for key in "1234":
        forgets(gateway, f"people/{key}")
    assert (gateway.features.room.rows, gateway.features.room.bytes, dict(gateway.features.tables)) == (0, 0, {})


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [("people/8", "7", {"a": 1}), ("people/", "", {"a": 1}), ("people/7", "7", {}), ("people/7", "7", {"a\n": 1})],
)
async def test_rows_that_tables_do_not_take_are_refused_and_counted(
    gateways: Any, name: str, key: str, values: dict[str, Any]
) -> None:
    gateway = await gateways()
    counted = TABLE_RECORDS.labels("shipway.features", "refused")
    before = counted._value.get()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    event = encode(Envelope("i", "s", at, FeaturesPublished(table="people", key=key, values=values, at=at)))
    gateway.features.topic._take(name.encode(), event.value, event.headers)
    assert (counted._value.get(), gateway.features.room.rows) == (before + 1, 0)


async def test_an_entity_is_shown(gateways: Any) -> None:
    gateway = await gateways()
    add_routes(gateway.rest, gateway.registry, gateway.results, gateway.kafka, "t")
    assert (await gateway.http.get("/features")).json()["state"] == "not followed"
    assert (await gateway.http.get("/features/people/7")).status_code == 503
    assert gateway.features.wanted.is_set(), "who asks has them followed"
    has_read(gateway)
    knows(gateway, "a/7", {"colour": "red", "flag": True, "n": 1.5, "none": None})
    found = await gateway.http.get("/features/people/a%2F7")
    assert found.json() == {
        "table": "people",
        "key": "a/7",
        "values": {"colour": "red", "flag": True, "n": 1.5, "none": None},
        "at": "2026-01-01T00:00:00Z",
    }
    assert (await gateway.http.get("/features/people/8")).status_code == 404
