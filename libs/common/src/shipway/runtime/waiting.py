"""Waiting out a dependency that is away: backoff with jitter, one log line at a time, no limit but the stop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from shipway.contract.errors import Transient
from shipway.runtime import log

T = TypeVar("T")
_log = log.get(__name__)


async def happens(event: asyncio.Event, within_s: float) -> bool:
    """Waits for an event, but no longer than that; says whether it came.

    Not by ``wait_for``: before Python 3.12 it loses a cancellation that comes together with the event, and the
    loop that was to end goes on for ever (https://github.com/python/cpython/issues/86296).
    """
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def until_reachable(
    what: str, attempt: Callable[[], Awaitable[T]], report: Callable[[str | None], None] = lambda _: None
) -> T:
    """Calls ``attempt`` until it does not raise Transient, and gives what it gives.

    ``report`` hears the reason of each failure, and None at the end: for readiness.
    """
    async for tries in stamina.retry_context(
        on=Transient, attempts=None, timeout=None, wait_initial=0.1, wait_max=3.0, wait_jitter=0.2
    ):
        with tries:
            try:
                result = await attempt()
            except Transient as err:
                report(f"waiting for {what}: {err}")
                if tries.num in (1, 5) or tries.num % 20 == 0:
                    _log.warning("waiting", dependency=what, reason=str(err), attempt=tries.num)
                raise
            report(None)
            return result
    raise asyncio.CancelledError
