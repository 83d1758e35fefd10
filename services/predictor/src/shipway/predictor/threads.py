"""The threads in which rows are scored that would keep the event loop: all versions share them, none takes them all."""

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from shipway.contract.rows import Matrix
from shipway.predictor.holding import Key

T = TypeVar("T")
THREADS = 3
LOADING_THREADS = 64
"""More than versions that are loaded at once, as one that waits to be unloaded has a thread meanwhile."""
# Of 19. Loading holds the interpreter only for moments, so that nobody waits for long for a thread that waits.
_NICENESS = 5


def loading_threads() -> ThreadPoolExecutor:
    """Threads for loading and unloading, which give way to those that answer on the same cores (on Linux)."""
    return ThreadPoolExecutor(LOADING_THREADS, thread_name_prefix="loading", initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # where a thread may have a niceness of its own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS))


class ScoringThreads:
    """Runs calls in threads. A version that has some leaves the last free one to the others, however many calls it has;
    of those that wait, the version with the fewest is next. From the event loop only.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
        self._free = threads
        self._running: Counter[Key] = Counter()
        self._waiting: list[tuple[Key, asyncio.Future[None]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()

    async def run(self, key: Key, call: Callable[[], T]) -> T:
        """What the call on a version gives, once it has had its turn."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((key, turn))
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._ended(key)
            else:
                self._waiting.remove((key, turn))
            raise
        running = loop.run_in_executor(self._executor, call)
        running.add_done_callback(lambda _: self._ended(key))
        return await asyncio.shield(running)  # who asked may go; the thread is taken until it is done

    async def score(
        self, key: Key, rows: Matrix, call: Callable[[Matrix], Matrix | None], *, divide: bool
    ) -> Matrix | None:
        """What the call gives for rows, and None where it gives that; with ``divide`` by two threads, if all are free.

        So many rows take a caller half the time where a core is idle; where others are at work there is none.
        """
        if not divide or self._running or self._waiting:
            return await self.run(key, lambda: call(rows))
        half = len(rows) // 2
        parts = [self.run(key, partial(call, part)) for part in (rows[:half], rows[half:])]
        found = [scores for scores in await asyncio.gather(*parts) if scores is not None]
        return np.concatenate(found) if len(found) == len(parts) else None

    def _grant(self) -> None:
        while (chosen := self._next()) is not None:
            key, turn = self._waiting.pop(chosen)
            self._free -= 1
            self._running[key] += 1
            turn.set_result(None)

    def _next(self) -> int | None:
        able = [i for i, (key, _) in enumerate(self._waiting) if self._free > (1 if self._running[key] else 0)]
        return min(able, key=lambda i: self._running[self._waiting[i][0]], default=None)

    def _ended(self, key: Key) -> None:
        self._free += 1
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        self._grant()
