"""The Open Inference Protocol through the gateway, asked by clients of others over real HTTP."""

import asyncio
from typing import Any

import numpy as np
import pytest
from open_inference.openapi.client import AsyncOpenInferenceClient
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from shipway.gateway.api import add_routes

BODY = {
    "inputs": [
        {"name": "size", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]},
        {"name": "colour", "datatype": "BYTES", "shape": [2, 1], "data": [["red"], [None]]},
    ]
}


@pytest.fixture
async def listening(gateways: Any, predictors: Any) -> Any:
    """A gateway that listens, with versions 1 (champion) and 2 (last good, no traffic) on one instance."""
    gateway = await gateways(request_timeout_ms=2000)
    add_routes(gateway.rest, gateway.registry, gateway.results, gateway.kafka, "t")
    gateway.wants((1, "champion", 1.0), (2, "last_good", 0.0))
    await gateway.knows(predictors[0], 1, 2)
    if gateway.server is None:
        await gateway.listen()
    return gateway


def triton(gateway: Any) -> Any:
    return InferenceServerClient(f"127.0.0.1:{gateway.port}")


def tensors(binary: bool) -> list[Any]:
    size, colour = InferInput("size", [2], "FP64"), InferInput("colour", [2, 1], "BYTES")
    size.set_data_from_numpy(np.array([1.0, np.nan]), binary_data=binary)
    colour.set_data_from_numpy(np.array([["red"], ["mauve"]], dtype=np.object_), binary_data=binary)
    return [size, colour]


async def test_tritons_client_finds_the_models_and_gets_its_answers(listening: Any, predictors: Any) -> None:
    def ask() -> None:
        client = triton(listening)
        assert client.is_server_live() and client.is_server_ready()
        assert client.get_server_metadata()["name"] == "shipway-gateway"
        assert client.is_model_ready("m") and client.is_model_ready("m", "2")
        assert not client.is_model_ready("m", "3") and not client.is_model_ready("nobody")
        told = client.get_model_metadata("m")
        assert told["versions"] == ["1", "2"]
        assert [(t["name"], t["datatype"]) for t in told["inputs"]] == [("size", "FP64"), ("colour", "BYTES")]
        result = client.infer("m", tensors(True), request_id="mine")
        assert result.as_numpy("scores").tolist() == [[0.25], [0.25]]
        assert [bytes(text) for text in result.as_numpy("label")] == [b"no", b"no"]
        assert (result.get_response()["id"], result.get_response()["model_version"]) == ("mine", "1")
        wanted = [InferRequestedOutput("scores", binary_data=False)]
        older = client.infer("m", tensors(True), "2", outputs=wanted)
        assert older.get_response()["model_version"] == "2"
        assert older.as_numpy("scores").tolist() == [[0.25], [0.25]]
        client.close()

    await asyncio.to_thread(ask)
    first, second = predictors[0].asks
    assert np.frombuffer(first.values)[[0, 1, 3]].tolist() == [1.0, 0.0, -1.0], "an unseen category is a missing one"
    assert np.isnan(np.frombuffer(first.values)[2])
    assert [(a.version, a.role) for a in (first, second)] == [(1, "champion"), (2, "last_good")]


async def test_contributions_are_a_tensor_more(listening: Any) -> None:
    answer = (await listening.http.post("/v2/models/m/infer", json={**BODY, "parameters": {"explain": True}})).json()
    tensor = {t["name"]: t for t in answer["outputs"]}["contributions"]
    assert (tensor["shape"], tensor["data"]) == ([2, 1, 3], [0.5, -0.125, 1.0] * 2)


async def test_its_errors_say_why(listening: Any) -> None:
    def refusal(*arguments: Any, **more: Any) -> tuple[str, str]:
        client = triton(listening)
        with pytest.raises(InferenceServerException) as refused:
            client.infer(*arguments, **more)
        client.close()
        return refused.value.status(), refused.value.message()

    status, why = await asyncio.to_thread(refusal, "mm", tensors(True))
    assert status == "404" and "did you mean 'm'" in why
    status, why = await asyncio.to_thread(refusal, "m", tensors(True), "3")
    assert status == "404" and "no such version of m is held (3)" in why
    status, why = await asyncio.to_thread(refusal, "m", tensors(True)[:1])
    assert status == "422" and "rows[0].colour" in why


async def test_the_working_groups_client_does_as_well(listening: Any) -> None:
    client = AsyncOpenInferenceClient(base_url=f"http://127.0.0.1:{listening.port}")
    await client.check_server_readiness()
    await client.check_model_version_readiness("m", "2")
    assert (await client.read_server_metadata()).extensions == ["binary_tensor_data"]
    assert (await client.read_model_version_metadata("m", "1")).platform == "lightgbm"
    answer = await listening.http.post("/v2/models/m/infer", json=BODY)
    assert answer.status_code == 200
    assert [(o["name"], o["shape"]) for o in answer.json()["outputs"]] == [
        ("scores", [2, 1]),
        ("label", [2]),
        ("prediction_id", [2]),
    ]


async def test_refusals_are_problems_with_the_protocols_error(listening: Any) -> None:
    for path, body, status in (
        ("/v2/models/m/infer", {"inputs": []}, 422),
        ("/v2/models/m/versions/x/infer", BODY, 404),
        ("/v2/models/nobody/infer", BODY, 404),
        ("/v2/nothing", BODY, 404),
    ):
        answer = await listening.http.post(path, json=body)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["error"] == answer.json()["detail"]


async def test_a_version_that_no_instance_has_now_is_waited_for(gateways: Any, predictors: Any) -> None:
    gateway = await gateways(patience_ms=5000)
    gateway.wants((1, "champion", 1.0), (2, "standby", 0.0))
    await gateway.knows(predictors[0], 1)
    asked = asyncio.create_task(gateway.http.post("/v2/models/m/versions/2/infer", json=BODY))
    await gateway.knows(predictors[1], 2)
    answer = await asked
    assert (answer.status_code, answer.json()["model_version"]) == (200, "2")


async def test_a_clients_deadline_ends_its_request_and_harms_no_instance(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0))
    for predictor in predictors:
        await gateway.knows(predictor, 1)
        predictor.free.clear()
    short = BODY | {"parameters": {"timeout": 50_000}}
    answers = [
        await gateway.http.post("/v2/models/m/infer", json=short),
        await gateway.http.post("/v2/models/m/infer", json=BODY, headers={"x-request-timeout-ms": "50"}),
        await gateway.http.post(
            "/predict/m", json={"row": {"size": 1, "colour": "red"}}, headers={"x-request-timeout-ms": "50"}
        ),
    ]
    assert [answer.status_code for answer in answers] == [504] * 3
    assert {ask.budget_ms <= 50 for ask in predictors[0].asks + predictors[1].asks} == {True}, "it travels"
    assert all(gateway.registry.health[p.name].well for p in predictors), "what is short of time is no sign of a hang"
    for wrong in ("0", "soon", "-1", "9999999999"):
        answer = await gateway.http.post("/predict/m", json={}, headers={"x-request-timeout-ms": wrong})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "X-Request-Timeout-Ms"


async def test_a_client_that_goes_is_not_waited_for(listening: Any, predictors: Any, eventually: Any) -> None:
    predictors[0].free.clear()
    for path in ("/v2/models/m/infer", "/predict/m"):
        body = BODY if path.startswith("/v2") else {"row": {"size": 1, "colour": "red"}}
        asked = asyncio.create_task(listening.http.post(path, json=body))
        await eventually(lambda: listening.registry.busy["a"] == 1)
        asked.cancel()
        await eventually(lambda: listening.registry.busy["a"] == 0)
