"""A connection's silence: who answers a ping is there, however slow; who does not is lost, in time, and not before."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from shipway.contract import rows
from shipway.contract.rows import Answer, Ask, Frames
from shipway.gateway.link import Link, LinkLost

ASK = Ask(7, "m", 1, "champion", 1, 100, 1, bytes(16), bytes(16), None, bytes(8))


class Far:
    """The other end: hears, and answers pings where it is told to."""

    def __init__(self) -> None:
        self.heard: list[Ask] = []
        self.answers_pings = True

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames(10**6)
        while data := await reader.read(65536):
            for body in frames.feed(data):
                self.heard.append(rows.read_ask(body))
                if self.heard[-1].model == "" and self.answers_pings:
                    writer.write(rows.frame(Answer(self.heard[-1].id, rows.NOT_LOADED)))
        writer.close()


@pytest.fixture
async def linked() -> AsyncIterator[tuple[Link, Far]]:
    far = Far()
    server = await asyncio.start_server(far.meet, "127.0.0.1", 0)
    link = await Link.connect(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.2)
    yield link, far
    link.close("the test is over")
    server.close()


async def test_a_slow_answer_is_waited_for_with_pings(linked: tuple[Link, Far], eventually: Callable[..., Any]) -> None:
    link, far = linked
    link.call(ASK, lambda _: None)
    await eventually(lambda: sum(ask.model == "" for ask in far.heard) >= 4)
    assert not link.lost, "it answered each of them"


async def test_one_that_says_nothing_is_lost_in_time(linked: tuple[Link, Far], eventually: Callable[..., Any]) -> None:
    link, far = linked
    far.answers_pings = False
    told: list[Answer | LinkLost] = []
    begun = time.monotonic()
    link.call(ASK, told.append)
    await eventually(lambda: told)
    assert isinstance(told[0], LinkLost) and link.lost
    assert time.monotonic() - begun >= 0.2


async def test_a_process_that_was_held_up_itself_blames_nobody(
    linked: tuple[Link, Far], eventually: Callable[..., Any]
) -> None:
    link, far = linked
    link.call(ASK, lambda _: None)
    for count in (1, 2, 3):
        await eventually(lambda count=count: sum(ask.model == "" for ask in far.heard) >= count)
        time.sleep(0.5)  # noqa: ASYNC251  the event loop stands still, as on a machine that does too much
    await eventually(lambda: sum(ask.model == "" for ask in far.heard) >= 4)
    assert not link.lost


async def test_nothing_is_watched_where_nothing_is_asked(linked: tuple[Link, Far], eventually: Any) -> None:
    link, far = linked
    link.call(ASK, lambda _: None)
    link.give_up(ASK.id)
    await eventually(lambda: link._watching is None)
    assert [ask.id for ask in far.heard] == [7] and not link.lost
