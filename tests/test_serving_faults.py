"""What clients do not notice: predictors that are killed, stopped and paused, new ones, and everything else being away.

Every request is sent once, when it is due, and each that gets no prediction fails the test. Everything else is away for
SHIPWAY_TEST_OUTAGE_S: 10 seconds, or by ``make outage`` as long as you like.
"""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from beside import beside
from world import STACK, World, eventually, features_of, make_rows, world

from shipway.cli.traffic import Traffic
from shipway.contract import events as e

OUTAGE_S = float(os.environ.get("SHIPWAY_TEST_OUTAGE_S", "10"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240 + 3 * OUTAGE_S),
    pytest.mark.skipif(STACK != "embedded", reason="make chaos does this to containers"),
]
ROWS = [features_of(row) for row in make_rows("binary", n=100, seed=5)]
_log = logging.getLogger(__name__)
BOTH = ("predictor-1", "predictor-2")
PER_S = 50


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A Shipway whose models "steady" and "other" serve on two predictors."""
    async with world(tmp_path_factory.mktemp("serving")) as running:
        for model in ("steady", "other"):
            await running.declare(model)
            assert (await running.train(model)).succeeded
        yield running


@asynccontextmanager
async def traffic_to(running: World, *models: str, gateways: tuple[str, ...] = ()) -> AsyncIterator[list[Traffic]]:
    """Sends to each model at each gateway, by default the one there is, 50 requests a second; none may fail."""
    urls = gateways or (running.gateway,)
    sending = [Traffic(url, model, ROWS, per_second=PER_S) for url in urls for model in models]
    tasks = [asyncio.create_task(one.run()) for one in sending]
    try:
        await eventually(lambda: _answered(sending, 20), "there is traffic")
        yield sending
        before = [sum(one.counts.answered.values()) for one in sending]
        await eventually(lambda: _answered(sending, 20 + max(before)), "the traffic goes on")
    finally:
        for one in sending:
            one.stop()
        await asyncio.gather(*tasks)
    assert [one.counts.failures for one in sending] == [0] * len(sending), [one.counts for one in sending]


async def _answered(sending: list[Traffic], count: int) -> bool:
    return all(sum(one.counts.answered.values()) >= count for one in sending)


async def routable(running: World) -> dict[str, bool]:
    """Whether the gateway sends to each instance."""
    found = {i["instance"]: i["routable"] for i in (await running.shipway.instances())["instances"]}
    return dict.fromkeys(BOTH, False) | {name: bool(is_in) for name, is_in in found.items()}


async def until_routable(running: World, name: str, wanted: bool, within_s: float = 30) -> float:
    """Waits until the gateway sends to an instance, or no more; gives the seconds that it took."""
    begun = time.monotonic()

    async def look() -> bool:
        return (await routable(running)).get(name, False) == wanted

    await eventually(look, f"{name} is {'in' if wanted else 'out'}", within_s)
    return time.monotonic() - begun


async def test_a_stopped_predictor_costs_no_request_and_a_new_one_serves_within_a_second(serving_world: World) -> None:
    running = serving_world
    url = running.supervisor.state().service_urls["predictor-2"]
    async with traffic_to(running, "steady") as (traffic,), httpx.AsyncClient(timeout=1) as client:
        await running.supervisor.stop("predictor-2")
        await until_routable(running, "predictor-2", False)
        before = sum(traffic.counts.answered.values())
        running.supervisor.start_one("predictor-2")

        async def ready() -> bool:
            return (await client.get(f"{url}/readyz")).status_code == 200

        await eventually(ready, "it is ready")
        took_s = await until_routable(running, "predictor-2", True)
        assert took_s < 1, f"{took_s:.2f} s from ready to traffic"
        _log.info("from ready to traffic: %.0f ms", 1000 * took_s)
        assert sum(traffic.counts.answered.values()) > before


async def test_a_killed_predictor_costs_no_request(serving_world: World) -> None:
    async with traffic_to(serving_world, "steady"):
        await serving_world.kill("predictor-1")
        await until_routable(serving_world, "predictor-1", True)


async def test_a_paused_predictor_is_out_in_time_and_costs_neither_model_a_request(serving_world: World) -> None:
    running = serving_world
    async with traffic_to(running, "steady", "other") as sending:
        running.supervisor.kill("predictor-1", signal.SIGSTOP)
        try:
            took_s = await until_routable(running, "predictor-1", False)
            assert took_s < 2, f"{took_s:.2f} s: it is found by its silence, not by a request that is out of time"
            _log.info("from SIGSTOP to out: %.0f ms", 1000 * took_s)
        finally:
            running.supervisor.kill("predictor-1", signal.SIGCONT)
        await until_routable(running, "predictor-1", True)
        assert all(one.counts.slowest_ms < 5000 for one in sending)


async def test_two_gateways_answer_by_the_same_table_and_both_take_a_swap(serving_world: World) -> None:
    running = serving_world
    spool = {"SHIPWAY_GATEWAY__PREDICTION_LOG__FOLDER": str(running.folder / "prediction-log" / "gateway-2")}
    async with beside(running, "gateway", "gateway-2", **spool) as second, httpx.AsyncClient() as client:
        gateways = (running.gateway, second)

        async def of_both(path: str, **request: object) -> list[dict[str, Any]]:
            method = "POST" if request else "GET"
            return [(await client.request(method, url + path, **request)).json() for url in gateways]  # type: ignore[arg-type]

        async def on(version: int) -> bool:
            one, other = await of_both("/models/other")
            shares = {v["version"]: v["effective_share"] for v in one["versions"]}
            return one == other and shares.get(version) == 1.0

        async def same_answers(version: int) -> None:
            one, other = await of_both("/predict/other", json={"rows": ROWS[:20]})
            assert one["version"] == other["version"] == version
            assert [p["probability"] for p in one["predictions"]] == [p["probability"] for p in other["predictions"]]

        await eventually(lambda: on(1), "both have the first version")
        await same_answers(1)
        async with traffic_to(running, "other", gateways=gateways):
            assert (await running.train("other")).succeeded
            await eventually(lambda: on(2), "both have swapped")
        await same_answers(2)


async def test_an_image_carries_a_release_without_the_object_store_and_no_other_release_waits_for_it(
    serving_world: World, tmp_path: Path
) -> None:
    """A quorum of three, two ordinary predictors: the third is an instance of an image of the version."""
    running, name = serving_world, "of-image"
    await running.declare("imaged", release__approval="manual", release__min_instances=3)
    await anext(journey async for journey in running.shipway.train("imaged") if journey.state == "accepted")
    folder = await _image_of(running, "imaged", 1, tmp_path / "imaged")
    env = {
        "BUNDLES__FOLDER": str(folder),
        "BUNDLES__ONLY": "true",
        "OBJECTS__URL": "file:///dev/null/away",
        "INSTANCE": name,
        "PREDICTION_LOG__FOLDER": str(tmp_path / "prediction-log"),
    }
    approving = asyncio.create_task(_approved_once_it_says_that_it_waits(running, name))
    settings = {f"SHIPWAY_PREDICTOR__{key}": value for key, value in env.items()}
    async with traffic_to(running, "steady"), beside(running, "predictor-1", name, **settings) as url:
        took_s = await until_routable(running, name, True)
        assert took_s < 1, f"{took_s:.2f} s from ready to traffic"
        _log.info("from ready to traffic: %.0f ms", 1000 * took_s)
        await approving
        await running.event(e.ReleasePromoted, model="imaged", version=1)
        released = await running.event(e.ModelReleased, model="imaged", version=1)
        assert released.instances == [name, *BOTH]
        async with traffic_to(running, "imaged"), httpx.AsyncClient() as client:

            async def answers() -> bool:
                found = (await client.get(f"{url}/metrics")).text
                return any(
                    float(n) > 20
                    for n in re.findall(r'^shipway_predictions_answered_total{model="imaged".* (\S+)$', found, re.M)
                )

            await eventually(answers, "it has its part of the traffic")
            other = await running.train("other")
            assert other.succeeded, other
        said = await running.event(e.ReleaseProgressed, model="other", version=other.version, to_state="canary")
        assert said.reason == "ready on 2 of 2 instances"
        (one,) = [i for i in (await running.shipway.instances())["instances"] if i["instance"] == name]
        assert [(v["model"], v["version"]) for v in one["versions"]] == [("imaged", 1)]


async def _image_of(running: World, model: str, version: int, folder: Path) -> Path:
    """What ``shipway image`` writes for a version, once that is approved."""
    await running.event(e.ModelApproved, model=model, version=version)

    async def listed() -> bool:
        return any(v["digest"] for v in (await running.shipway.model(model))["versions"])

    await eventually(listed, "the version is on record")
    command = [sys.executable, "-m", "shipway.cli", "image", model, str(version), "--out", str(folder)]
    ran = await asyncio.to_thread(
        subprocess.run, [*command, "--data", str(running.folder)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return folder


async def _approved_once_it_says_that_it_waits(running: World, name: str) -> None:
    async with httpx.AsyncClient() as client:

        async def waits() -> bool:
            found = {i["instance"]: i for i in (await running.shipway.instances())["instances"]}
            said = await client.get(f"{found[name]['url']}/readyz") if name in found else None
            return said is not None and said.status_code == 503 and "no version of this image" in said.text

        await eventually(waits, "it is there, and holds nothing that is not released")
    assert (await running.shipway.command("imaged", "approve", version=1, reason="seen")).done


async def test_with_kafka_database_and_store_all_away_it_answers_as_before(serving_world: World) -> None:
    """Ten minutes of it are in docs/reliability.md (``make outage``); the rule is the same from the first second on."""
    running = serving_world
    objects = running.folder / "objects"
    async with traffic_to(running, "steady", "other") as sending:
        for part in ("broker", "postgres"):
            running.supervisor.kill(part, signal.SIGSTOP)
        objects.rename(objects.with_name("away"))
        objects.touch()  # a file where the folder was: nobody makes it anew
        try:
            before = sum(sending[0].counts.answered.values())
            enough = before + round(PER_S * OUTAGE_S)
            await eventually(lambda: _answered(sending, enough), "traffic for so long", 60 + 2 * OUTAGE_S)
            slowest, found = (f([one.counts.slowest_ms for one in sending]) for f in (max, len))
            _log.info("away for %g s: %d answers by %d models, the slowest %.0f ms", OUTAGE_S, enough, found, slowest)
            running.supervisor.kill("predictor-2", signal.SIGSTOP)
            await until_routable(running, "predictor-2", False)
            running.supervisor.kill("predictor-2", signal.SIGCONT)
            await until_routable(running, "predictor-2", True)
        finally:
            for part in ("broker", "postgres"):
                running.supervisor.kill(part, signal.SIGCONT)
            objects.unlink()
            objects.with_name("away").rename(objects)
        await running.ready()

    async def accounted() -> bool:
        # A predictor that was killed by the tests before has settled what its predecessor left.
        kinds = ("answered", "inherited", "logged", "dropped")
        names = {kind: f"shipway_predictions_{kind}_total" for kind in kinds}
        counts = {k: sum([await running.metric(p, name) for p in BOTH]) for k, name in names.items()}
        return (
            counts["answered"] + counts["inherited"] == counts["logged"] + counts["dropped"] and counts["logged"] > 1000
        )

    await eventually(accounted, "every answer of the outage is logged, or counted as dropped", 60 + OUTAGE_S)
