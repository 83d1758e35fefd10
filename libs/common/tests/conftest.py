"""A running broker for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bus import Broker

from shipway.runtime.provision import provision


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[Broker]:
    """A running broker with all topics."""
    running = Broker(tmp_path / "broker")
    await running.start()
    await provision(running.settings)
    yield running
    running.kill_and_wipe()
