"""A slow version never keeps the scoring threads from the others, however many calls it has."""

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest

from shipway.bundle.capi import LightGBMError
from shipway.contract.rows import Matrix
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


async def test_many_rows_are_scored_by_two_threads_where_nobody_else_is_at_work() -> None:
    both, rows = threading.Barrier(2), np.arange(42.0).reshape(21, 2)

    def call(part: Matrix) -> Matrix:
        both.wait(10)  # passes only while the other half is scored
        return part + 1

    with ScoringThreads() as threads:
        found = await threads.score(A, rows, call, divide=True)
        assert found is not None
        np.testing.assert_array_equal(found, rows + 1)


@pytest.mark.parametrize(("divide", "busy"), [(False, 0), (True, 1), (True, THREADS)])
async def test_rows_are_not_divided_where_that_is_not_wanted_or_others_are_at_work(divide: bool, busy: int) -> None:
    seen: list[int] = []

    def call(part: Matrix) -> None:
        seen.append(len(part))

    with ScoringThreads() as threads:
        calls = Calls(threads)
        others = calls.start(B, busy)
        await calls.until(lambda: len(calls.begun) == min(busy, THREADS - 1))
        asked = asyncio.create_task(threads.score(A, np.zeros((10, 2)), call, divide=divide))
        await calls.until(lambda: seen)
        calls.free.set()
        assert await asked is None and seen == [10]
        await asyncio.gather(*others)


@pytest.mark.parametrize("late", [0, 1])
async def test_of_divided_rows_a_half_that_is_not_scored_leaves_none(late: int) -> None:
    with ScoringThreads() as threads:
        rows = np.arange(2.0).reshape(2, 1)
        assert await threads.score(A, rows, lambda part: None if part[0, 0] == late else part, divide=True) is None


async def test_an_error_in_a_half_is_that_of_the_whole() -> None:
    def call(part: Matrix) -> Matrix:
        if part[0, 0]:
            raise LightGBMError("no")
        return part

    with ScoringThreads() as threads:
        with pytest.raises(LightGBMError, match="no"):
            await threads.score(A, np.arange(2.0).reshape(2, 1), call, divide=True)
        assert await threads.run(A, lambda: "goes on") == "goes on"
