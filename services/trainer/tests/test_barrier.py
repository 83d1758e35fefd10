"""Which requests may start, by how far the declarations before them are read."""

from shipway.runtime.consumer import Progress
from shipway.trainer.barrier import Barrier


class Reading:
    """How far the group is, as a test sets it."""

    def __init__(self, committed: int, end: int) -> None:
        self.now_s = 0.0
        self.at = {0: Progress(committed, end)}
        self.barrier = Barrier(self.progress, lambda: self.now_s, patience_s=60)

    async def progress(self) -> dict[int, Progress]:
        return self.at


async def test_a_request_waits_for_what_was_declared_before_it() -> None:
    reading = Reading(committed=4, end=5)
    held = reading.barrier.held(["r"])
    assert held == {"r"}
    assert not await reading.barrier.look(held)
    reading.at = {0: Progress(5, 9)}  # what is declared later does not keep it
    assert await reading.barrier.look(held)
    assert reading.barrier.held(["r"]) == frozenset()


async def test_each_request_has_its_own_goal() -> None:
    reading = Reading(committed=4, end=5)
    await reading.barrier.look(["old"])
    reading.at = {0: Progress(5, 6)}
    assert await reading.barrier.look(["old", "new"])
    assert reading.barrier.held(["old", "new"]) == {"new"}


async def test_a_broker_that_lost_its_data_holds_nobody() -> None:
    reading = Reading(committed=4, end=5)
    await reading.barrier.look(["r"])
    reading.at = {0: Progress(0, 0)}
    assert await reading.barrier.look(["r"])


async def test_what_is_never_read_is_given_up() -> None:
    reading = Reading(committed=4, end=5)
    await reading.barrier.look(["r"])
    reading.now_s = 61
    assert await reading.barrier.look(["r"])


async def test_a_request_that_is_over_is_forgotten() -> None:
    reading = Reading(committed=5, end=5)
    await reading.barrier.look(["r"])
    assert reading.barrier.held(["r"]) == frozenset()
    reading.barrier.held([])
    assert reading.barrier.held(["r"]) == {"r"}
    assert not await reading.barrier.look([])
