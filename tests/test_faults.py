"""Any process may be killed at any moment, and the broker may forget everything: it ends where it should."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio
from world import STACK, T0, World, eventually, features_of, make_rows, world

from shipway.cli.traffic import Traffic
from shipway.contract import events as e

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROWS = [features_of(row) for row in make_rows("binary", n=100, seed=5)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broken_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_every_service_killed_in_the_middle_of_one_loop(broken_world: World) -> None:
    """Each is killed with SIGKILL at the moment when it has the work in hand."""
    model = "killed"
    await broken_world.declare(model)
    following = asyncio.create_task(broken_world.train(model, within_s=200))
    moments: list[tuple[type[e.Payload], tuple[str, ...]]] = [
        (e.TrainingAccepted, ("trainer",)),
        (e.TrainingCompleted, ("evaluator",)),
        (e.ModelApproved, ("releaser", "predictor-1", "gateway", "monitor")),
    ]
    for event, services in moments:
        await broken_world.event(event, model=model, within_s=90)
        await asyncio.gather(*(broken_world.kill(service) for service in services))
    journey = await following
    assert journey.succeeded, journey
    await broken_world.event(e.ReleasePromoted, model=model)
    for event in (e.TrainingCompleted, e.ModelApproved, e.ReleasePromoted):
        assert len(broken_world.recorder.payloads(event, model=model)) == 1, event

    async def answers() -> bool:
        return (await broken_world.shipway.predict(model, ROWS[:1])).version == 1

    await eventually(answers, "the version answers")

    async def known() -> bool:
        return bool((await broken_world.shipway.model(model)).get("champion") == 1)

    await eventually(known, "the monitor knows the champion")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_predictors_and_the_monitor_killed_under_traffic_cost_and_double_nothing(
    broken_world: World,
) -> None:
    await broken_world.declare("steady")
    assert (await broken_world.train("steady")).succeeded
    traffic = Traffic(broken_world.gateway, "steady", ROWS, per_second=60)
    sending = asyncio.create_task(traffic.run())
    for predictor in ("predictor-1", "predictor-2"):
        await asyncio.gather(broken_world.kill(predictor), broken_world.kill("monitor"))
    traffic.stop()
    await sending
    assert traffic.counts.failures == 0, traffic.counts
    assert traffic.counts.answered[1] > 50
    await broken_world.all_in_history("steady")


@pytest.mark.skipif(STACK != "embedded", reason="only the embedded broker forgets what it acknowledged")
@pytest.mark.timeout(240)
async def test_a_broker_that_forgets_everything(broken_world: World) -> None:
    """Killed and wiped in the middle of a training: predictions go on, and the request ends where it should."""
    await broken_world.declare("forgotten")
    assert (await broken_world.train("forgotten", until=datetime(2026, 2, 20, tzinfo=T0.tzinfo))).succeeded
    traffic = Traffic(broken_world.gateway, "forgotten", ROWS, per_second=40)
    sending = asyncio.create_task(traffic.run())
    following = asyncio.create_task(broken_world.train("forgotten", within_s=200))
    accepted = 2

    async def taken() -> bool:
        return len(broken_world.recorder.payloads(e.TrainingAccepted, model="forgotten")) == accepted

    await eventually(taken, "the second request is accepted")
    await broken_world.supervisor.restart("broker", wipe=True)
    await broken_world.supervisor.wait_ready(["broker"])
    await broken_world.event(e.ReleasePromoted, within_s=180, model="forgotten", version=2)
    await following
    traffic.stop()
    await sending
    assert traffic.counts.failures == 0, traffic.counts
    assert len(broken_world.recorder.payloads(e.TrainingCompleted, model="forgotten")) == 2

    async def accounted() -> bool:
        # By the instances' own counts: what the broker acknowledged and forgot, the monitor may never have seen.
        counts = [
            [await broken_world.metric(p, f"shipway_predictions_{kind}_total") for p in ("predictor-1", "predictor-2")]
            for kind in ("answered", "inherited", "logged", "dropped")
        ]
        answered, inherited, logged, dropped = (sum(count) for count in counts)
        return answered + inherited == logged + dropped and answered >= sum(traffic.counts.answered.values())

    await eventually(accounted, "every prediction is logged or counted as dropped", within_s=30)


@pytest.mark.timeout(240)
async def test_the_database_killed_in_the_middle_of_a_training(broken_world: World) -> None:
    await broken_world.declare("no-database")
    following = asyncio.create_task(broken_world.train("no-database", within_s=200))
    await broken_world.event(e.TrainingAccepted, model="no-database")
    await broken_world.kill("postgres")
    assert (await following).succeeded


@pytest.mark.timeout(240)
async def test_everything_stopped_and_started_again_goes_on(broken_world: World) -> None:
    """Also the last check of this world: what it served, it serves."""
    services = [p.name for p in broken_world.supervisor.plan.processes if p.kind == "service"]
    await asyncio.gather(*(broken_world.supervisor.stop(name) for name in services))
    for name in services:
        broken_world.supervisor.start_one(name)
    await broken_world.ready()

    async def answers() -> bool:
        serving = {"no-database": 1} | ({"forgotten": 2} if STACK == "embedded" else {})
        return all([(await broken_world.shipway.predict(m, ROWS[:1])).version == v for m, v in serving.items()])

    await eventually(answers, "the champions answer")
