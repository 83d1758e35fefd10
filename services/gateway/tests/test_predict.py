"""The hot path over real HTTP: answers, refusals by name, limits, and an instance that is killed."""

import asyncio
import contextlib
import functools
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from shipway.contract import rows
from shipway.contract.predictionbatch import decode_batch
from shipway.gateway.api import add_routes
from shipway.gateway.asking import starting
from shipway.gateway.retries import RetryBudget
from shipway.runtime.early import refusing
from shipway.runtime.ops import Readiness, add_ops_routes

ROW = {"size": 1.0, "colour": "red"}
BOMB = b'{"rows": ' + b"[" * 100_000
WRONG: list[tuple[Any, str]] = [
    ({"rows": [{"size": "big", "colour": "red"}]}, "rows[0].size"),
    ({"rows": [ROW, {"colour": "red"}]}, "rows[1].size"),
    ({"rows": [ROW | {"sise": 1}]}, "rows[0].sise"),
    ({"rows": [1]}, "rows[0]"),
    ({"rows": []}, "rows"),
    ({"rows": ROW}, "rows"),
    ([ROW], "body"),
    ({"rows": [ROW], "row": ROW}, "rows"),
    ({"rows": [ROW], "client_ids": ["a", "b"]}, "client_ids"),
    ({"lines": [ROW]}, "lines"),
    ({"rows": [ROW] * 6}, "rows"),
    ({"columns": ["size", "colour"], "data": [[1, "red"], ["big", "red"]]}, "rows[1].size"),
    ({"columns": ["colour"], "data": [["red"]]}, "rows[0].size"),
    ({"columns": ["size", "colour", "sise"], "data": [[1, "red", 1]]}, "rows[0].sise"),
    ({"columns": ["size", "size"], "data": [[1, 1]]}, "columns"),
    ({"columns": ["size", "colour"], "data": [[1, "red"], [1]]}, "data[1]"),
    ({"columns": ["size", "colour"], "data": [[1, "red"], 1]}, "data[1]"),
    ({"columns": ["size", "colour"], "data": []}, "rows"),
    ({"columns": ["size", "colour"], "data": [[1, "red"]] * 6}, "rows"),
    ({"columns": ["size", "colour"], "data": [[1, "red"]], "client_ids": []}, "client_ids"),
    ({"columns": ["size", "colour"], "data": [[1, "red"]], "row": ROW}, "rows"),
    ({"columns": ["size", "colour"]}, "columns"),
    ({"data": [[1, "red"]]}, "columns"),
    ({"columns": ["size", "colour"], "data": [[1, "red"]], "index": [0]}, "index"),
]
NAMES = [f"c{i}" for i in range(40)]
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def test_an_answer_names_model_version_and_predictions(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0), generation=7)
    await gateway.knows(predictors[0], 1)
    body = {"rows": [ROW, ROW], "client_ids": ["x", "y"]}
    answer = await gateway.http.post("/predict/m", json=body, headers={"traceparent": TRACE})
    assert answer.status_code == 200
    said = answer.json()
    assert (said["model"], said["version"]) == ("m", 1)
    assert [(p["label"], p["probability"]) for p in said["predictions"]] == [("no", 0.25)] * 2
    assert len({p["id"] for p in said["predictions"]}) == 2
    [seen] = predictors[0].asks
    assert answer.headers["traceparent"][:35] == TRACE[:35], "one trace"
    assert seen.trace_ids.hex() == 2 * TRACE[3:35]
    assert [seen.prediction_ids.hex()[i : i + 32] for i in (0, 32)] == [p["id"] for p in said["predictions"]]
    assert (seen.client_ids, seen.role, seen.generation) == (["x", "y"], "champion", 7)
    assert 0 < seen.budget_ms <= 5000
    assert len((await gateway.ask({"row": ROW})).json()["predictions"]) == 1


async def test_a_ranking_is_answered_with_scores_and_ranks_within_the_request(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    features = [{"name": "size", "type": "number"}, {"name": "colour", "type": "category", "categories": ["red"]}]
    gateway.wants((1, "champion", 1.0), signature={"features": features, "output": "ranking", "target": "clicked"})
    await gateway.knows(predictors[0], 1)
    told = (await gateway.ask({"rows": [ROW, ROW, ROW], "explain": True})).json()["predictions"]
    assert [(p["score"], p["rank"], p["base"]) for p in told] == [(0.25, n, 1.0) for n in (1, 2, 3)]
    [plain] = (await gateway.ask({"row": ROW})).json()["predictions"]
    assert plain == {"id": plain["id"], "score": 0.25, "rank": 1}


async def test_explain_tells_what_each_feature_contributed(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    told = (await gateway.ask({"rows": [ROW, ROW], "explain": True})).json()["predictions"]
    assert [(p["probability"], p["base"]) for p in told] == [(0.25, 1.0)] * 2
    assert told[0]["contributions"] == {"size": 0.5, "colour": -0.125}
    plain = (await gateway.ask({"row": ROW})).json()["predictions"][0]
    assert "contributions" not in plain and "base" not in plain


async def test_what_can_not_be_explained_is_refused_and_no_failure_of_the_version(
    gateways: Any, predictors: Any
) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    predictors[0].explains = False  # as an instance of the release before
    answer = await gateway.ask({"row": ROW, "explain": True})
    assert answer.status_code == 503 and "explain" in answer.json()["detail"]
    predictors[0].refuse = (rows.TOO_MUCH, "explain: of this model 3 rows can be explained at once")
    answer = await gateway.ask({"row": ROW, "explain": True})
    assert answer.status_code == 422 and "3 rows" in answer.json()["detail"]
    await gateway.sink.close(30)
    outcomes = [one for m in gateway.logged for one in decode_batch(m.value)["outcome"].to_pylist()]
    assert outcomes == ["refused", "refused"]


async def test_columns_may_be_named_once(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    data = [[i / 7, "red"] for i in range(40)]
    named = await gateway.ask({"rows": [{"size": size, "colour": colour} for size, colour in data]})
    swapped = [[colour, size] for size, colour in data]
    for body in (
        {"columns": ["size", "colour"], "data": data, "client_ids": NAMES},
        {"columns": ["colour", "size"], "data": swapped},
        {"data": swapped, "columns": ["colour", "size"], "explain": True},
    ):
        answer = await gateway.ask(body)
        assert answer.status_code == named.status_code == 200
        assert answer.json()["version"] == 1 and len(answer.json()["predictions"]) == 40
        assert ("base" in answer.json()["predictions"][0]) is body.get("explain", False)
    assert len({ask.values for ask in predictors[0].asks if ask.model}) == 1, "the same numbers"
    assert [ask.client_ids for ask in predictors[0].asks if ask.model] == [None, NAMES, None, None]


async def test_every_wrong_field_is_named(gateways: Any, predictors: Any) -> None:
    gateway = await gateways(rows=5)
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    for body, field in WRONG:
        answer = await gateway.ask(body)
        assert answer.status_code == answer.json()["status"] == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert field in [err["field"] for err in answer.json()["errors"]]
    assert predictors[0].answered == 0


async def test_what_is_no_json_or_too_large_is_refused_and_harms_nobody(gateways: Any, predictors: Any) -> None:
    gateway = await gateways(body_bytes=200_000)
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    for content, status in ((b"", 400), (b"{", 400), (b"\xff", 400), (BOMB, 400), (b" " * 200_001, 413)):
        answer = await gateway.http.post("/predict/m", content=content)
        assert (answer.status_code, answer.json()["status"]) == (status, status), content[:20]

    async def endless() -> Any:
        while True:
            yield b" " * 50_000

    with contextlib.suppress(httpx.ReadError, httpx.WriteError):  # its connection is closed
        assert (await gateway.http.post("/predict/m", content=endless())).status_code == 413
    assert (await gateway.ask()).status_code == 200


async def test_an_unknown_model_is_refused_with_the_close_name(gateways: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0))
    answer = await gateway.http.post("/predict/mm", json={"row": ROW})
    assert answer.status_code == 404
    assert "did you mean 'm'" in answer.json()["detail"]
    add_routes(gateway.rest, gateway.registry, gateway.results, gateway.kafka, "t")
    assert (await gateway.http.get("/models/mm")).json()["detail"] == answer.json()["detail"]


async def test_a_model_that_is_not_known_yet_is_waited_for_and_not_denied(gateways: Any, predictors: Any) -> None:
    gateway = await gateways(patience_ms=200)
    gateway.registry.desired.caught_up.clear()
    early = await gateway.ask()
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    asked = asyncio.create_task(gateway.ask())
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    assert (await asked).status_code == 200


async def test_a_gateway_without_its_parts_says_only_how_it_is(predictors: Any) -> None:
    rest = FastAPI()
    add_ops_routes(rest, Readiness())
    transport = httpx.ASGITransport(refusing(rest, starting))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        for early in (await http.post("/predict/m", json={"row": ROW}), await http.get("/models")):
            assert (early.status_code, early.headers["retry-after"]) == (503, "1"), "not 404: it may be there"
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/readyz")).json()["status"] == "not ready"


async def test_a_killed_instance_costs_no_request(gateways: Any, predictors: Any, eventually: Any) -> None:
    gateway, (a, b) = await gateways(request_timeout_ms=60_000), predictors
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(a, 1)
    await gateway.knows(b, 1)
    a.free.clear()
    b.free.clear()
    asked: list[asyncio.Task[Any]] = []
    busy = gateway.registry.busy
    while sum(busy.values()) == a.waiting + b.waiting:  # until some wait in the gateway
        asked += [asyncio.create_task(gateway.ask()) for _ in range(40)]
        await eventually(functools.partial(lambda count: sum(busy.values()) == count and a.asks and b.asks, len(asked)))
    assert min(busy.values()) > 15, "both have work"
    b.free.set()
    await a.kill()
    answers = await asyncio.gather(*asked)
    assert {answer.text if answer.status_code != 200 else "" for answer in answers} == {""}
    assert not gateway.registry.health["a"].well, "out at once"
    assert [route.instances[0].name for route in gateway.registry.routes["m"].routes] == ["b"]


@pytest.mark.parametrize("refusal", [(rows.NOT_LOADED, "no"), (rows.BUSY, "busy")])
async def test_what_was_not_executed_is_asked_elsewhere(gateways: Any, predictors: Any, refusal: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0))
    predictors[0].refuse = refusal
    for predictor in predictors:
        await gateway.knows(predictor, 1)
    assert [(await gateway.ask()).status_code for _ in range(20)] == [200] * 20


async def test_what_waits_goes_together_and_each_gets_its_own(gateways: Any, predictors: Any, eventually: Any) -> None:
    gateway, a = await gateways(), predictors[0]
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(a, 1)
    a.free.clear()
    asked = [asyncio.create_task(gateway.ask({"rows": [ROW] * (1 + i % 3)})) for i in range(30)]
    await eventually(lambda: gateway.registry.busy["a"] == 30)
    a.free.set()
    answers = [one.json() for one in await asyncio.gather(*asked)]
    assert [len(one["predictions"]) for one in answers] == [1 + i % 3 for i in range(30)]
    assert len({p["id"] for one in answers for p in one["predictions"]}) == 60
    assert len(a.asks) == 1


async def test_a_poisonous_row_fails_alone(gateways: Any, predictors: Any, eventually: Any) -> None:
    gateway, a = await gateways(), predictors[0]
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(a, 1)
    a.free.clear()
    a.poison = 13.0
    sizes = [1.0] * 9 + [13.0]
    asked = [asyncio.create_task(gateway.ask({"row": ROW | {"size": size}})) for size in sizes]
    await eventually(lambda: gateway.registry.busy["a"] == 10)
    a.free.set()
    assert [one.status_code for one in await asyncio.gather(*asked)] == [200] * 9 + [502]


async def test_an_instance_that_hangs_costs_time_and_no_request(gateways: Any, predictors: Any) -> None:
    gateway, (a, b) = await gateways(silence_ms=100, probes={"every_s": 30, "every_out_s": 30}), predictors
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(a, 1)
    await gateway.knows(b, 1)
    a.free.clear()
    a.hangs = True
    a.ready = False
    answers = await asyncio.gather(*(gateway.ask() for _ in range(40)))
    assert [one.status_code for one in answers] == [200] * 40
    assert not gateway.registry.health["a"].well


def test_retries_stay_within_the_budget() -> None:
    budget = RetryBudget(0.2)
    at_once = sum(budget.spend() for _ in range(1000))
    assert at_once == 100
    for _ in range(50):
        budget.earn()
    assert 10 <= sum(budget.spend() for _ in range(1000)) <= 12, "a fifth of the requests, and the moments between"


async def test_more_than_the_limit_under_way_is_refused_at_once(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await gateways(in_flight=2)
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    predictors[0].free.clear()
    asked = [asyncio.create_task(gateway.ask()) for _ in range(2)]
    await eventually(lambda: predictors[0].waiting == 2)
    answer = await gateway.ask()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    predictors[0].free.set()
    assert [a.status_code for a in await asyncio.gather(*asked)] == [200, 200]
    await gateway.sink.close(30)
    (record,) = decode_batch(gateway.logged[0].value).to_pylist()
    assert record["outcome"] == "refused", "an overload is no failure of the version"
    assert record["reason"].startswith("503")


async def test_out_of_time_and_a_wrong_answer_are_said_and_logged_as_failed(gateways: Any, predictors: Any) -> None:
    gateway = await gateways(request_timeout_ms=60_000)
    gateway.wants((1, "champion", 1.0), generation=4)
    await gateway.knows(predictors[0], 1)
    predictors[0].free.clear()
    soon = {"X-Request-Timeout-Ms": "150"}
    late = await gateway.http.post("/predict/m", json={"row": ROW}, headers=soon)
    predictors[0].free.set()
    predictors[0].refuse = (rows.WRONG, "these are no rows")
    await gateway.knows(predictors[0], 1)
    bad = await gateway.ask()
    assert (late.status_code, bad.status_code) == (504, 502)
    await gateway.sink.close(30)
    records = decode_batch(gateway.logged[0].value).to_pylist()
    failed = ("failed", 1, "champion", 4)
    assert [(r["outcome"], r["version"], r["role"], r["generation"]) for r in records] == [failed, failed]
