"""A slow version never keeps the scoring threads from the others, however many calls it has."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from shipway.predictor.threads import THREADS, ScoringThreads

A, B, C = ("a", 1), ("b", 1), ("c", 1)


class Calls:
    """Calls that block their threads until they are let go."""

    def __init__(self, threads: ScoringThreads) -> None:
        self.threads = threads
        self.free = threading.Event()
        self.begun: list[tuple[str, int]] = []

    def start(
        self, key: tuple[str, int], count: int = 1, free: threading.Event | None = None
    ) -> list[asyncio.Task[str]]:
        """So many calls; ``free`` lets them go, and all that have none of their own are let go together."""

        def call() -> str:
            self.begun.append(key)
            assert (free or self.free).wait(10)
            return key[0]

        return [asyncio.create_task(self.threads.run(key, call)) for _ in range(count)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


async def test_a_version_with_calls_without_end_leaves_a_thread_to_the_others() -> None:
    with ScoringThreads() as threads:
        calls = Calls(threads)
        slow = calls.start(A, 100)
        await calls.until(lambda: len(calls.begun) == THREADS - 1)
        for _ in range(20):
            assert await asyncio.wait_for(threads.run(B, lambda: "quick"), 10) == "quick"
        assert calls.begun == [A] * (THREADS - 1)
        calls.free.set()
        assert await asyncio.gather(*slow) == ["a"] * 100


async def test_of_those_that_wait_the_one_with_the_fewest_is_next() -> None:
    with ScoringThreads() as threads:
        calls, ends = Calls(threads), threading.Event()
        running = calls.start(A, free=ends)
        running += calls.start(A)
        await calls.until(lambda: len(calls.begun) == 2)
        running += calls.start(B)
        await calls.until(lambda: len(calls.begun) == 3)
        waiting = [*calls.start(A, 2), *calls.start(B, 2), *calls.start(C)]
        await asyncio.sleep(0)
        ends.set()
        await calls.until(lambda: len(calls.begun) == 4)
        assert calls.begun == [A, A, B, C], "C, which has none, before what came earlier"
        calls.free.set()
        await asyncio.gather(*running, *waiting)


async def test_a_call_that_nobody_waits_for_gives_its_place_back() -> None:
    with ScoringThreads(1) as threads:
        calls = Calls(threads)
        (running,) = calls.start(A)
        await calls.until(lambda: calls.begun)
        (waiting,) = calls.start(A)
        await asyncio.sleep(0)
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        quick = asyncio.create_task(threads.run(B, lambda: "quick"))
        await asyncio.sleep(0)
        assert not quick.done(), "the thread is still taken"
        calls.free.set()
        assert await asyncio.wait_for(quick, 10) == "quick"


async def test_a_call_that_fails_says_so_and_gives_its_place_back() -> None:
    with ScoringThreads(1) as threads:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await threads.run(A, lambda: 1 / 0)
