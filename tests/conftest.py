"""One Shipway for all tests of the loop; tests that break it get one of their own."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from docblocks import Guide, follow
from otlp import Collector, collecting
from world import QUICK, World, world

# A model that nobody asks to train, half an hour beside everybody else's time.
SCHEDULED, ELSEWHERE = "scheduled", ZoneInfo("Asia/Kolkata")


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the shared Shipway's spans go."""
    with collecting() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shipway_world(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> AsyncIterator[World]:
    """A running Shipway, shared by the tests that leave it whole."""
    tracing = {"SHIPWAY__TRACING__ENDPOINT": collector.endpoint, "SHIPWAY__TRACING__SAMPLE": "0"}
    async with world(tmp_path_factory.mktemp("world"), env=QUICK | tracing) as running:
        await running.declare(SCHEDULED, schedule={"cron": soon(), "timezone": ELSEWHERE.key})
        yield running


def soon() -> str:
    """A cron expression for a time that comes while other tests run."""
    return f"{datetime.now(ELSEWHERE) + timedelta(minutes=2):%M %H} * * *"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def served(shipway_world: World) -> str:
    """A binary model whose version 1 serves, for tests that only use it."""
    await shipway_world.declare("served")
    journey = await shipway_world.train("served")
    assert journey.succeeded, journey
    return "served"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guide(shipway_world: World, tmp_path_factory: pytest.TempPathFactory) -> Guide:
    """The model ``houses``, served, as the guide has it; the other pages go on from there."""
    folder = tmp_path_factory.mktemp("guide")
    page = Path(__file__).parent.parent / "docs" / "your-own-model.md"
    return Guide(folder, await follow(page, shipway_world, folder))


@pytest.fixture
def root() -> Path:
    """The repository's root."""
    return Path(__file__).parent.parent
