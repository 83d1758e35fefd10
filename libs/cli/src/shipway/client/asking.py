"""Asking the trainer for a job until it has it, and following what becomes of it."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from shipway.client.errors import Unreachable
from shipway.client.follow import Followed
from shipway.client.journey import Journey
from shipway.runtime import trace
from shipway.runtime.trace import Span

ASK_AGAIN_S = 5.0


async def asked_for(
    events: AsyncIterator[Followed], journey: Journey, send: Callable[[], Awaitable[None]], accept_within_s: float
) -> AsyncGenerator[Journey, None]:
    """The journey at each step, until it ends.

    ``send`` publishes the request, under the same event id each time: only when the trainer says that it has it, it
    can't be lost.

    Raises:
        Unreachable: the broker does not answer, or no trainer takes the request in ``accept_within_s``.
    """
    begun_ns = time.time_ns()
    with trace.within(None) as span:
        asking = asyncio.create_task(_until_cancelled(send))
    deadline = asyncio.get_running_loop().time() + accept_within_s
    yield journey
    try:
        while not journey.ended:
            found = await _next_before(events, deadline if journey.state == "requested" else None, asking)
            after = journey.after(found.event.payload) if found.event else journey
            if after is not journey:
                journey = after
                asking.cancel()
                yield journey
    finally:
        asking.cancel()
        trace.tell(_root(journey, span, begun_ns))


def _root(journey: Journey, span: str, begun_ns: int) -> Span:
    """The span that the whole trace hangs from: what was asked for, until its end, or until nobody follows it."""
    about = {"model": journey.model, "request_id": journey.request_id}
    error = journey.reason if journey.ended and not journey.succeeded else ""
    return Span("request", span, None, begun_ns, time.time_ns(), attributes=about, error=error)


async def _until_cancelled(send: Callable[[], Awaitable[None]]) -> None:
    while True:
        await send()
        await asyncio.sleep(ASK_AGAIN_S)


async def _next_before(
    events: AsyncIterator[Followed], deadline: float | None, asking: "asyncio.Task[None]"
) -> Followed:
    """The next event; ends with the error of asking, or with Unreachable at the deadline."""
    coming: asyncio.Future[Followed] = asyncio.ensure_future(anext(events))
    try:
        while not coming.done():
            left_s = None if deadline is None else deadline - asyncio.get_running_loop().time()
            if left_s is not None and left_s <= 0:
                raise Unreachable("the request was published, but no trainer has taken it; is one running?")
            waited: set[asyncio.Future[Any]] = {coming} if asking.done() else {coming, asking}
            await asyncio.wait(waited, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if asking.done() and not asking.cancelled() and (error := asking.exception()) is not None:
                raise error
        return coming.result()
    finally:
        coming.cancel()
