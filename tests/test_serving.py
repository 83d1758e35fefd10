"""What clients see of a running Shipway: the inference protocol through gateway and predictors."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput
from world import World, eventually, features_of, make_rows

from shipway.client import AsyncShipway, Refused
from shipway.contract import events as e

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROWS = [features_of(row) for row in make_rows("binary", n=40, seed=11)]
TYPES = {"size": "FP64", "age": "FP64", "colour": "BYTES", "flag": "BOOL"}


def tensors() -> list[InferInput]:
    """The rows as a client of others sends them."""
    found = []
    for name, datatype in TYPES.items():
        values = [row[name] for row in ROWS]
        if datatype == "BYTES":
            array = np.array(["" if v is None else v for v in values], dtype=np.object_)
        else:
            array = np.array(values, dtype=np.bool_ if datatype == "BOOL" else np.float64)
        found.append(InferInput(name, [len(ROWS)], datatype))
        found[-1].set_data_from_numpy(array)
    return found


async def test_the_inference_protocol_gives_the_same_answers_everywhere(shipway_world: World, served: str) -> None:
    known = (await shipway_world.shipway.predict(served, ROWS)).predictions
    urls = shipway_world.supervisor.state().service_urls

    def ask(url: str) -> list[float]:
        client = InferenceServerClient(url.removeprefix("http://"))
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(served)
        assert {t["name"]: t["datatype"] for t in client.get_model_metadata(served)["inputs"]} == TYPES
        answer, of_version = client.infer(served, tensors()), client.infer(served, tensors(), "1")
        assert not client.is_model_ready(served, "9")
        client.close()
        assert [bytes(label).decode() for label in answer.as_numpy("label")] == [p.label for p in known]
        assert answer.as_numpy("scores").tolist() == of_version.as_numpy("scores").tolist()
        scores: list[float] = answer.as_numpy("scores")[:, 0].tolist()
        return scores

    for url in (shipway_world.gateway, urls["predictor-1"], urls["predictor-2"]):
        assert await asyncio.to_thread(ask, url) == [p.probability for p in known]


async def test_the_example_of_the_page_runs(shipway_world: World, served: str, root: Path) -> None:
    page = (root / "docs" / "predictions.md").read_text()
    (code,) = re.findall(r"```python test=triton\n(.*?)```", page, re.DOTALL)
    code = code.replace("localhost:8080", shipway_world.gateway.removeprefix("http://"))
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "true" in ran.stdout or "false" in ran.stdout


LOOKUPS = [{"table": "people", "key": "person", "features": ["age", "colour"]}]


def known(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a look-up table: person 0, 1, ..."""
    return [{"person": i, "age": row["age"], "colour": row["colour"]} for i, row in enumerate(rows)]


def naming(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows as who knows no more than the person sends them."""
    return [{"size": row["size"], "flag": row["flag"], "person": i} for i, row in enumerate(rows)]


async def looks_up(shipway: AsyncShipway, rows: Sequence[dict[str, Any]]) -> None:
    """Waits until ``north`` answers who names persons as it answers who says everything."""
    given = [p.probability for p in (await shipway.predict("north", rows)).predictions]

    async def same() -> bool:
        answer = await shipway.predict("north", naming(rows))
        return [p.probability for p in answer.predictions] == given and answer.looked_up == {"people": len(rows)}

    await eventually(same, "what is published is what is scored", within_s=10)


async def test_several_models_answer_now_or_later_and_a_killed_gateway_keeps_results_and_look_ups(
    shipway_world: World,
) -> None:
    for model, lookups in (("north", LOOKUPS), ("south", [])):
        await shipway_world.declare(model, groups=["pair"], lookups=lookups)
        assert (await shipway_world.train(model)).succeeded
    alone = {m: (await shipway_world.shipway.predict(m, ROWS[:2])).predictions for m in ("north", "south")}
    async with httpx.AsyncClient(base_url=shipway_world.gateway, timeout=10) as client:

        async def declared() -> bool:
            asked = {"group": "pair", "rows": ROWS[:2], "aggregate": "mean"}
            answer = await client.post("/predict", json=asked)
            return answer.status_code == 200 and len(answer.json()["answers"]) == 2

        await eventually(declared, "the group is known")
        asked = {"group": "pair", "rows": ROWS[:2], "aggregate": "mean"}
        answer = (await client.post("/predict", json=asked)).json()
        for row in range(2):
            chances = [predictions[row].probability or 0.0 for predictions in alone.values()]
            assert answer["predictions"][row]["probability"] == pytest.approx(sum(chances) / 2)
        accepted = await client.post("/predict", json=asked | {"later": True})
        assert accepted.status_code == 202

        async def answered() -> bool:
            found = await client.get(accepted.headers["location"])
            return found.status_code == 200 and found.json()["answer"]["predictions"] == answer["predictions"]

        await eventually(answered, "the result is there")

        async def told() -> bool:
            results = shipway_world.recorder.payloads(e.PredictionResult, result_id=accepted.json()["id"])
            return [result.state for result in results] == ["pending", "answered"]

        await eventually(told, "and on the topic")
        asked_later = await shipway_world.shipway.predict_several("pair", ROWS[:2], aggregate="mean", later=True)

        async def told_too() -> bool:
            found = await shipway_world.shipway.result(asked_later["id"])
            return bool(found["status"] == "answered" and found["answer"]["predictions"] == answer["predictions"])

        await eventually(told_too, "the client finds its result")
        first = await shipway_world.shipway.predict_several(["north", "south"], ROWS[:1], aggregate="first")
        assert len(first["answers"]) == 1
        shipway = shipway_world.shipway
        assert await shipway.put_features("people", known(ROWS[:3]), key="person") == 3
        await looks_up(shipway, ROWS[:3])
        changed = [ROWS[0] | {"age": 3.5, "colour": "red"}, *ROWS[1:3]]
        await shipway.put_features("people", known(changed)[:1], key="person")
        await looks_up(shipway, changed)
        assert (await shipway.features("people", "0"))["values"] == {"age": 3.5, "colour": "red"}
        with pytest.raises(Refused, match="'nobody' is not in people"):
            await shipway.predict("north", [naming(ROWS[:1])[0] | {"person": "nobody"}])
        await shipway_world.kill("gateway")
        await eventually(answered, "the result outlives the gateway")
        await looks_up(shipway, changed)
        await shipway.forget_features("people", ["0"])

        async def forgotten() -> bool:
            try:
                await shipway.predict("north", naming(ROWS[:1]))
            except Refused as err:
                return "'0' is not in people" in str(err)
            return False

        await eventually(forgotten, "who is forgotten is not known", within_s=10)


async def test_the_published_document_is_the_running_gateways(shipway_world: World, root: Path) -> None:
    async with httpx.AsyncClient() as client:
        shown = (await client.get(f"{shipway_world.gateway}/openapi.json")).text
    assert (
        httpx.Response(200, text=shown).json()
        == httpx.Response(200, text=(root / "docs" / "openapi" / "gateway.json").read_text()).json()
    )
