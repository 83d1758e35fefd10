"""The releaser's handlers under events of any content: none is a bug that would stop the service."""

from collections.abc import Awaitable, Callable

import eventfuzz

from shipway.releaser.handlers import HANDLERS
from shipway.runtime.database import Database


async def test_no_content_of_an_event_is_a_bug(open_database: Callable[[str], Awaitable[Database]]) -> None:
    outcomes = await eventfuzz.fuzz(await open_database("releaser"), HANDLERS)
    assert min(outcomes.values()) > 10, outcomes
