"""Rows worked off one by one, each locked meanwhile, so that a lock dies with its holder; the stop waits for it."""

import asyncio
from collections.abc import Awaitable, Callable

from shipway.runtime import log
from shipway.runtime.database import Transaction
from shipway.runtime.parts import Parts
from shipway.runtime.waiting import happens

_log = log.get(__name__)
STOP_WITHIN_S = 15


class Stopped(Exception):  # noqa: N818
    """The service stops; what is in hand is left as it was."""


class Turns:
    """``step`` is a reconciler's; ``stop`` is awaited before the parts go.

    ``work`` takes the next row and does what it asks for, within the transaction that locks it; False where none waits.
    It raises Stopped where ``stopping`` came first. ``what`` it is, for the log.
    """

    def __init__(
        self, parts: Parts, stopping: asyncio.Event, work: Callable[[Transaction], Awaitable[bool]], what: str
    ) -> None:
        self._parts = parts
        self._stopping = stopping
        self._work = work
        self._what = what
        self._idle = asyncio.Event()
        self._idle.set()

    async def stop(self) -> None:
        """Ends what is in hand, undone, and begins nothing else."""
        self._stopping.set()
        if not await happens(self._idle, STOP_WITHIN_S):
            _log.warning("not ended in time; it is begun anew at the next start", work=self._what)

    async def step(self) -> bool:
        """Does what is next; False where nothing waits.

        Raises:
            Transient: the database is away.
        """
        if self._stopping.is_set():
            return False
        self._idle.clear()
        try:
            async with self._parts.database.hold() as tx:
                done = await self._work(tx)
        except Stopped:
            return False
        finally:
            self._idle.set()
        if done:
            self._parts.relay.wake()
        return done
