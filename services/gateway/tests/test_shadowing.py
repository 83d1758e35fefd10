"""Copies for a shadow: after the answer, at no cost to it, dropped first, and on record as a shadow's."""

import asyncio
from typing import Any

import numpy as np

from shipway.contract import rows as protocol
from shipway.contract.events import Traffic
from shipway.contract.predictionbatch import decode_batch
from shipway.gateway.shadowing import SHADOWS

OTHER = {
    "features": [
        {"name": "colour", "type": "category", "categories": ["blue", "red"]},
        {"name": "size", "type": "number"},
    ],
    "output": "binary",
    "target": "late",
    "classes": ["no", "yes"],
}


def shadow_asks(predictor: Any) -> list[Any]:
    return [ask for ask in predictor.asks if ask.role == "shadow"]


def counted(outcome: str, model: str = "m") -> float:
    return float(SHADOWS.labels(model, outcome)._value.get())


async def with_shadow(gateways: Any, predictors: Any, share: float = 1.0, other: bool = False, **limits: Any) -> Any:
    """A gateway with champion 1 on one predictor, and its shadow 2 on the other."""
    gateway = await gateways(**limits)
    signatures = {2: OTHER} if other else None
    shadow = Traffic(version=2, share=share)
    gateway.wants((1, "champion", 1.0), (2, "candidate", 0.0), shadow=shadow, generation=4, signatures=signatures)
    await gateway.knows(predictors[0], 1)
    await gateway.knows(predictors[1], 2)
    return gateway


async def test_a_shadow_gets_what_the_champion_answered_and_its_scores(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await with_shadow(gateways, predictors)
    answer = (await gateway.ask({"rows": [{"size": 1.0, "colour": "red"}] * 2, "client_ids": ["x", "y"]})).json()
    assert answer["version"] == 1
    await eventually(lambda: shadow_asks(predictors[1]))
    (ask,) = shadow_asks(predictors[1])
    assert (ask.version, ask.rows, ask.generation, ask.client_ids) == (2, 2, 4, ["x", "y"])
    assert [ask.prediction_ids.hex()[i : i + 32] for i in (0, 32)] == [p["id"] for p in answer["predictions"]]
    assert np.frombuffer(ask.beside).tolist() == [0.25, 0.25]
    assert not shadow_asks(predictors[0])


async def test_a_shadow_of_other_features_gets_the_rows_in_its_own_order(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await with_shadow(gateways, predictors, other=True)
    assert (await gateway.ask({"row": {"size": 3.5, "colour": "red"}})).status_code == 200
    await eventually(lambda: shadow_asks(predictors[1]))
    assert np.frombuffer(shadow_asks(predictors[1])[0].values).tolist() == [1.0, 3.5]


async def test_a_shadow_that_fails_or_hangs_costs_the_client_nothing_and_is_on_record(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await with_shadow(gateways, predictors, request_timeout_ms=1000, silence_ms=5000)
    failed = counted("failed")
    predictors[1].refuse = (protocol.FAILED, "broken at serving")
    answer = (await gateway.ask()).json()
    await eventually(lambda: counted("failed") == failed + 1)
    predictors[1].refuse = None
    predictors[1].free.clear()
    begun = asyncio.get_running_loop().time()
    assert (await gateway.ask()).status_code == 200
    assert asyncio.get_running_loop().time() - begun < 1, "nobody waits for a shadow"
    await eventually(lambda: counted("failed") == failed + 2)
    assert gateway.registry.well(predictors[1].name), "its failure is not its instance's"
    await gateway.sink.close(30)
    records = [r for m in gateway.logged for r in decode_batch(m.value).to_pylist()]
    assert {(r["role"], r["outcome"], r["version"]) for r in records} == {("shadow", "failed", 2)}
    assert answer["predictions"][0]["id"] in {r["prediction_id"] for r in records}


async def test_copies_are_dropped_where_there_is_no_room_for_them(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await with_shadow(gateways, predictors, shadow_rows=5)
    predictors[1].free.clear()
    dropped = counted("dropped")
    assert {(await gateway.ask()).status_code for _ in range(9)} == {200}
    assert counted("dropped") == dropped + 4
    predictors[1].free.set()
    await eventually(lambda: sum(ask.rows for ask in shadow_asks(predictors[1])) == 5)
    await eventually(lambda: gateway.asker._shadows._rows["m"] == 0)


async def test_an_instance_that_is_busy_with_requests_is_asked_for_no_shadow(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await with_shadow(gateways, predictors, shadow_busy=3)
    dropped = counted("dropped")
    gateway.registry.busy[predictors[1].name] += 3
    assert (await gateway.ask()).status_code == 200
    await eventually(lambda: counted("dropped") == dropped + 1)
    gateway.registry.busy[predictors[1].name] -= 3
    assert not shadow_asks(predictors[1])


async def test_such_a_share_is_copied_and_what_is_refused_or_explained_is_not(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await with_shadow(gateways, predictors, share=0.5)
    answered = counted("answered")
    for _ in range(60):
        assert (await gateway.ask()).status_code == 200
    await eventually(lambda: counted("answered") >= answered + 10)
    assert sum(ask.rows for ask in shadow_asks(predictors[1])) < 50
    gateway = await with_shadow(gateways, predictors)
    seen = len(shadow_asks(predictors[1]))
    assert (await gateway.ask({"row": {"size": 1.0, "colour": "red"}, "explain": True})).status_code == 200
    predictors[0].refuse = (protocol.FAILED, "no")
    assert (await gateway.ask()).status_code == 502
    assert len(shadow_asks(predictors[1])) == seen
