"""Trainings that nobody asked for, and trainers that take a part of the stages each."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from beside import beside
from world import World

from shipway.contract import events as e
from shipway.contract.spec import STAGES

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_schedule_asks_in_its_own_time_zone(shipway_world: World) -> None:
    model = "scheduled"
    asked = await shipway_world.event(e.TrainingRequested, model=model, within_s=150)
    assert asked.reason == "its schedule"
    schedule = (await shipway_world.event(e.ModelDeclared, model=model)).spec["schedule"]
    slot = datetime.strptime(asked.request_id, f"schedule:{model}:%Y-%m-%dT%H:%M%z")
    assert f"{slot.astimezone(ZoneInfo(schedule['timezone'])):%M %H} * * *" == schedule["cron"]
    await shipway_world.event(e.ReleasePromoted, model=model, version=1)


@pytest.mark.slow
async def test_stages_are_done_by_trainers_of_their_own(shipway_world: World) -> None:
    """The one trains and nothing else, the other does the rest."""
    running, model = shipway_world, "apart"
    await running.declare(model)
    others = ",".join(stage for stage in STAGES if stage != "train")
    member = "SHIPWAY__KAFKA__GROUP_INSTANCE"  # the first is the group's member that stopped, the other is another one
    other = {member: "others"} if running.supervisor.plan.process("trainer").env.get(member) else {}
    await running.supervisor.stop("trainer")
    try:
        async with (
            beside(running, "trainer", "trainer-train", "--stages", "train"),
            beside(running, "trainer", "trainer-others", "--stages", others, **other),
        ):
            journey = await running.train(model)
    finally:
        running.supervisor.start_one("trainer")
        await running.supervisor.wait_ready(["trainer"])
    assert journey.succeeded, journey
    job = await running.shipway.job(journey.request_id)
    assert [stage["state"] for stage in job["stages"]] == ["done"] * len(STAGES)
    assert not any(stage["reused"] for stage in job["stages"])
