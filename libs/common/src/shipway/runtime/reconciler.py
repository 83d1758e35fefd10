"""A level-triggered loop: look at the wish and at what is, take the next step, again; events only wake it."""

import asyncio
from collections.abc import Awaitable, Callable

from shipway.contract.errors import Transient
from shipway.runtime import log
from shipway.runtime.waiting import happens

_log = log.get(__name__)


class Reconciler:
    """Calls ``step`` when woken and at least every ``beat_s``. An outage is waited out; a bug ends the loop.

    ``step`` gives True when there is more to do at once.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], beat_s: float) -> None:
        self._name = name
        self._step = step
        self._beat_s = beat_s
        self._woken = asyncio.Event()
        self.problem: str | None = None

    def wake(self) -> None:
        """Asks for a step soon."""
        self._woken.set()

    async def run(self) -> None:
        """Steps for ever."""
        while True:
            self._woken.clear()
            try:
                more = await self._step()
                self.problem = None
            except Transient as err:
                more = False
                if self.problem is None:
                    _log.warning("waiting", reconciler=self._name, reason=str(err))
                self.problem = f"{self._name}: {err}"
            if not more:
                await happens(self._woken, self._beat_s)
