"""The evaluator's handlers under events of any content: none is a bug that would stop the service."""

from collections.abc import Awaitable, Callable

import eventfuzz

from shipway.evaluator.handlers import handlers
from shipway.evaluator.settings import ReplaySettings
from shipway.runtime.database import Database


async def test_no_content_of_an_event_is_a_bug(open_database: Callable[[str], Awaitable[Database]]) -> None:
    outcomes = await eventfuzz.fuzz(await open_database("evaluator"), handlers(ReplaySettings().limits))
    assert min(outcomes.values()) > 10, outcomes
