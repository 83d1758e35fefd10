"""One request to several models: rules, each with its own time, and no model that costs another anything."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from shipway.contract import rows
from shipway.contract.events import ModelDeclared, PredictionResult
from shipway.gateway.api import add_routes
from shipway.gateway.retries import BURST

ROW = {"size": 1.0, "colour": "red"}
VALUE = {"features": [{"name": "size", "type": "number"}, {"name": "age", "type": "number"}], "target": "y"}
TWO = ("m", "n")


@pytest.fixture
async def gateway(gateways: Any, predictors: Any) -> Any:
    """A gateway with the models m and n on both instances."""
    made = await gateways(request_timeout_ms=30_000, in_flight=20)
    add_routes(made.rest, made.registry, made.results, made.kafka, "t")
    for model in TWO:
        made.wants((1, "champion", 1.0), model=model)
    for predictor in predictors:
        await made.knows(predictor, 1, models=TWO)
    return made


def slow(predictors: Any, *models: str) -> None:
    for predictor in predictors:
        predictor.slow.update(models)
        predictor.free.clear()


async def ask(gateway: Any, **body: Any) -> Any:
    return await gateway.http.post("/predict", json={"models": TWO, "row": ROW} | body)


async def test_each_model_answers_and_is_on_record_as_if_asked_alone(gateway: Any, predictors: Any) -> None:
    answer = await ask(gateway, client_ids=["mine"])
    assert answer.status_code == 200
    said = answer.json()
    assert (said["aggregate"], said["partial"], said["failed"]) == ("all", False, [])
    assert [(a["model"], a["version"], a["predictions"][0]["probability"]) for a in said["answers"]] == [
        ("m", 1, 0.25),
        ("n", 1, 0.25),
    ]
    asks = predictors[0].asks + predictors[1].asks
    assert sorted(a.model for a in asks) == ["m", "n"]
    assert {a["predictions"][0]["id"] for a in said["answers"]} == {a.prediction_ids.hex() for a in asks}
    assert [a.client_ids for a in asks] == [["mine"], ["mine"]]


async def test_columns_may_be_named_once_and_each_model_takes_its_own(gateway: Any, predictors: Any) -> None:
    gateway.wants((2, "champion", 1.0), model="n", signature=VALUE | {"output": "regression"}, generation=2)
    await gateway.knows(predictors[0], 1, 2, models=TWO)
    body = {"models": TWO, "columns": ["age", "size", "colour"], "data": [[7, 1.5, "red"], [8, 2.5, "red"]]}
    answer = await gateway.http.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    values = {ask.model: rows.matrix(ask, 2).tolist() for p in predictors for ask in p.asks if ask.model}
    assert values == {"m": [[1.5, 0], [2.5, 0]], "n": [[1.5, 7], [2.5, 8]]}
    refused = await gateway.http.post("/predict", json=body | {"columns": ["age", "size", "color"]})
    assert refused.json()["errors"][0]["field"] == "rows[0].color"


async def test_a_slow_model_has_its_own_time_and_costs_the_others_nothing(gateway: Any, predictors: Any) -> None:
    slow(predictors, "n")
    begun = time.monotonic()
    answer = await ask(gateway, require="any", timeout_ms={"n": 100})
    assert time.monotonic() - begun < 15, "not the time that a gateway gives by default"
    assert answer.status_code == 200 and answer.json()["partial"]
    assert [(f["model"], f["status"]) for f in answer.json()["failed"]] == [("n", 504)]
    refused = await ask(gateway, timeout_ms=100)
    assert refused.status_code == 504
    assert refused.json()["errors"][0]["field"] == "n"
    first = await ask(gateway, aggregate="first")
    assert [a["model"] for a in first.json()["answers"]] == ["m"]
    # Many at once for the slow one fill its places and no other's; no instance is taken out for it.
    soon = {"X-Request-Timeout-Ms": "2000"}
    to_slow = [gateway.http.post("/predict/n", json={"row": ROW}, headers=soon) for _ in range(30)]
    waiting = [asyncio.create_task(one) for one in to_slow]
    alone = [(await gateway.http.post("/predict/m", json={"row": ROW})).status_code for _ in range(50)]
    assert alone == [200] * 50
    assert {(await one).status_code for one in waiting} == {503, 504}
    assert all(health.well for health in gateway.registry.health.values())


async def test_a_model_that_fails_uses_up_its_own_retries(gateway: Any, predictors: Any) -> None:
    budget = gateway.upstream.budget
    for _ in range(int(BURST)):
        assert budget("n").spend()
    assert not budget("n").spend() and budget("m").spend()
    for predictor in predictors:
        predictor.poison = 13.0
    poisonous = {"size": 13.0, "colour": "red"}
    asked = [ask(gateway, row=poisonous, require="any"), *(ask(gateway) for _ in range(5))]
    bad, *good = await asyncio.gather(*asked)
    assert bad.status_code == 502 and {f["field"] for f in bad.json()["errors"]} == set(TWO)
    assert [one.status_code for one in good] == [200] * 5


async def test_places_to_wait_for_an_instance_are_each_models_own(gateway: Any) -> None:
    gateway.wants((9, "champion", 1.0), model="o", generation=2)
    gateway.registry._waiting["o"] = 1000
    assert not await gateway.registry.changes("o", time.monotonic() + 5)
    waiting = asyncio.create_task(gateway.registry.changes("m", time.monotonic() + 5))
    await asyncio.sleep(0)
    gateway.wants((9, "champion", 1.0), model="o", generation=3)
    assert await waiting


async def test_each_takes_the_features_that_it_knows_and_no_field_is_nobodys(gateway: Any, predictors: Any) -> None:
    gateway.wants((2, "champion", 1.0), model="n", generation=2, signature=VALUE | {"output": "regression"})
    await gateway.knows(predictors[0], 1, 2, models=TWO)
    answer = await ask(gateway, row=ROW | {"age": 4})
    assert [sorted(a["predictions"][0]) for a in answer.json()["answers"]] == [
        ["id", "label", "probability"],
        ["id", "value"],
    ]
    stray = await ask(gateway, row=ROW | {"age": 4, "sise": 1})
    assert (stray.status_code, stray.json()["errors"][0]["field"]) == (422, "rows[0].sise")
    missing = await ask(gateway, row=ROW)
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "n")
    assert "rows[0].age" in missing.json()["detail"]
    assert (await ask(gateway, row=ROW | {"age": 4}, aggregate="mean")).status_code == 422


WRONG = [
    ({"models": []}, "models"),
    ({"models": ["m", "m"]}, "models"),
    ({"models": ["m"] * 30}, "models"),
    ({"models": None}, "models"),
    ({"group": "g"}, "models"),
    ({"rows": []}, "rows"),
    ({"require": 3}, "require"),
    ({"require": 0}, "require"),
    ({"timeout_ms": {"x": 5}}, "timeout_ms.x"),
    ({"timeout_ms": 0}, "timeout_ms"),
    ({"aggregate": "median"}, "aggregate"),
    ({"models": ["m", 1]}, "models[1]"),
    ({"more": 1}, "more"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG)
async def test_what_is_no_question_is_refused_by_its_field(gateway: Any, changes: Any, field: str) -> None:
    answer = await ask(gateway, **changes)
    assert answer.status_code == 422, answer.text
    assert [e["field"] for e in answer.json()["errors"]] == [field] or field == "rows"


async def test_a_field_that_is_not_known_is_refused_with_those_that_are(gateway: Any) -> None:
    (refused,) = (await ask(gateway, modles=["m"])).json()["errors"]
    assert refused["field"] == "modles"
    assert {"models", "group", "rows", "columns", "later"} <= set(refused["problem"].split("known are ")[1].split(", "))
    assert "errors" in (body := (await gateway.http.post("/predict", json=[])).json())
    assert [e["field"] for e in body["errors"]] == ["body"]


async def test_an_unknown_model_is_one_that_fails(gateway: Any) -> None:
    answer = await ask(gateway, models=["m", "nn"], require=1)
    assert [(f["model"], f["status"]) for f in answer.json()["failed"]] == [("nn", 404)]
    assert (await ask(gateway, models=["m", "nn"])).status_code == 404


async def test_a_group_is_those_that_declare_it_and_are_served(gateway: Any) -> None:
    for model in ("m", "n", "unserved"):
        gateway.hears(ModelDeclared(model=model, spec={"groups": ["late", 7]}, declared_by="me"))
    answer = await gateway.http.post("/predict", json={"group": "late", "row": ROW, "aggregate": "vote"})
    assert [a["model"] for a in answer.json()["answers"]] == ["m", "n"]
    assert answer.json()["predictions"] == [{"label": "no", "votes": {"no": 2}}]
    gateway.hears(ModelDeclared(model="m", spec={"groups": "late"}, declared_by="me"))
    gateway.hears(ModelDeclared(model="n", spec={}, declared_by="me"))
    assert (await gateway.http.post("/predict", json={"group": "late", "row": ROW})).status_code == 404


async def test_later_is_accepted_once_kafka_has_it_and_any_gateway_has_the_result(
    gateway: Any, gateways: Any, predictors: Any, eventually: Any
) -> None:
    slow(predictors, "n")
    accepted = await ask(gateway, later=True)
    assert (accepted.status_code, accepted.json()["status"]) == (202, "pending")
    where = accepted.headers["location"]
    other = await gateways()
    add_routes(other.rest, other.registry, other.results, other.kafka, "t")
    early = asyncio.create_task(other.http.get(where))
    await eventually(lambda: other.results._waiting == 1)
    for told in gateway.kafka.told:
        other.hears(told)
    for one in (await early, await gateway.http.get(where)):
        assert (one.status_code, one.headers["retry-after"]) == (202, "1")
    for predictor in predictors:
        predictor.free.set()
    await eventually(lambda: len(gateway.kafka.told) == 2)
    pending, result = gateway.kafka.told
    assert (pending.state, result.state, result.result_id) == ("pending", "answered", pending.result_id)
    other.hears(result)
    other.hears(pending)  # again, as a topic that is read anew has it
    for one in (gateway, other):
        found = (await one.http.get(where)).json()
        assert (found["status"], [a["model"] for a in found["answer"]["answers"]]) == ("answered", ["m", "n"])


async def test_later_may_fail_and_says_why(gateway: Any, eventually: Any) -> None:
    accepted = (await ask(gateway, later=True, models=["m", "nn"])).json()
    await eventually(lambda: len(gateway.kafka.told) == 2)
    found = (await gateway.http.get(accepted["result"])).json()
    assert (found["status"], found["problem"]["status"]) == ("failed", 404)


async def test_later_needs_kafka_and_is_bounded(gateway: Any, predictors: Any, eventually: Any) -> None:
    gateway.kafka.away = True
    refused = await ask(gateway, later=True)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert (await ask(gateway)).status_code == 200, "what is answered at once does not"
    gateway.kafka.away = False
    slow(predictors, "n")
    accepted = [await ask(gateway, later=True) for _ in range(3)]
    assert [one.status_code for one in accepted] == [202] * 3
    full = await ask(gateway, later=True)
    assert (full.status_code, full.headers["retry-after"]) == (503, "1")
    gateway.kafka.away = True
    for predictor in predictors:
        predictor.free.set()
    await eventually(lambda: all(r.state == "answered" for r in gateway.results.view.values.values()))
    gateway.kafka.away = False
    await eventually(lambda: len(gateway.kafka.told) == 6)


def a_result(name: str, state: Any = "answered", due_s: float = 60, size: int = 0) -> PredictionResult:
    now = datetime.now(UTC)
    answer = {"x": "y" * size} if state == "answered" else None
    return PredictionResult(
        result_id=name,
        state=state,
        models=["m"],
        gateway="g1",
        requested_at=now,
        due_at=now + timedelta(seconds=due_s),
        answer=answer,
    )


async def test_results_are_bounded_and_forgotten_and_the_lost_are_told(gateway: Any) -> None:
    gateway.hears(a_result("lost", "pending", due_s=-1))
    lost = await gateway.http.get("/results/lost")
    assert lost.status_code == 410 and "g1 ended" in lost.json()["detail"]
    gateway.hears(a_result("old", due_s=-61))
    assert "old" not in gateway.results.view.values, "kept for 60 s"
    for i in range(8):
        gateway.results.take(a_result(str(i), size=30_000_000 if i == 7 else 0))
    assert list(gateway.results.view.values) == ["3", "4", "5", "6", "7"], "five are kept"
    for i in (8, 9, 10):
        gateway.results.take(a_result(str(i), size=30_000_000))
    assert list(gateway.results.view.values) == ["8", "9", "10"], "in 100 MB"
    assert gateway.results._bytes == sum(len(msgspec.json.encode(r)) for r in gateway.results.view.values.values())
    assert (await gateway.http.get("/results/4")).status_code == 404


async def test_an_answer_that_no_topic_takes_is_a_failure_that_says_so(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await gateways(rows=20_000, body_bytes=10_000_000, request_timeout_ms=60_000)
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    body = {"models": ["m"], "rows": [ROW] * 15_000, "later": True}
    accepted = await gateway.http.post("/predict", json=body)
    await eventually(lambda: len(gateway.kafka.told) == 2)
    assert gateway.kafka.told[1].problem["status"] == 413
    assert accepted.status_code == 202


async def test_who_does_not_answer_now_is_asked_elsewhere_as_ever(gateway: Any, predictors: Any) -> None:
    predictors[0].refuse = (rows.BUSY, "busy")
    assert [(await ask(gateway)).status_code for _ in range(10)] == [200] * 10
