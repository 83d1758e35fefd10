"""Server-sent events: every open page is told when something has changed, and looks again by itself.

One look at the database a second serves all open pages of a process; with none open nobody looks.
"""

import asyncio
from collections.abc import AsyncIterator

from shipway.contract.errors import Transient
from shipway.monitor.dashboard import happened
from shipway.runtime.database import Database

LOOK_EVERY_S = 1.0
BEAT_S = 10.0
MOST = 200


class Stream:
    """What open pages are told: ``changed`` with a number that grows, and every ten seconds ``beat``."""

    def __init__(self, database: Database, *, every_s: float = LOOK_EVERY_S) -> None:
        self._database = database
        self._every_s = every_s
        self._open = 0
        self._number = 0
        self._changed = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None
        self._ended = False
        self.looked = False  # whether there is something to compare with

    async def end(self) -> None:
        """Lets all pages go: the service stops, and would wait for them."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Whether there are as many pages open as are told."""
        return self._open >= MOST

    async def listen(self) -> AsyncIterator[bytes]:
        """The events of one page, until it goes."""
        self._open += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            seen = self._number
            yield b"retry: 3000\n\n"
            while not self._ended:
                try:
                    async with asyncio.timeout(BEAT_S), self._changed:
                        await self._changed.wait_for(lambda: self._ended or self._number != seen)  # noqa: B023
                    seen = self._number
                    yield b"event: changed\ndata: %d\n\n" % seen
                except TimeoutError:
                    yield b"event: beat\ndata: \n\n"
        finally:
            self._open -= 1
            if self._open == 0 and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        before: tuple[int, int, int] | None = None
        self.looked = False
        while True:
            try:
                async with self._database.begin() as tx:
                    now = await happened.pulse(tx)
            except Transient:
                now = before or (0, 0, 0)  # the pages show what they have until it is back
            if before is not None and now != before:
                async with self._changed:
                    self._number += 1
                    self._changed.notify_all()
            before, self.looked = now, True
            await asyncio.sleep(self._every_s)
