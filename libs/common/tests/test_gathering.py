"""When what is gathered is handled."""

from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from shipway.runtime.gathering import EVERY_S, MOST_BYTES, MOST_MESSAGES, Gathered


def record(offset: int, size: int = 1, partition: int = 0) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("log", partition, offset, 0, 0, None, b"x" * size, None, 0, size, ())


def handled_at(now: float) -> Gathered:
    gathered = Gathered()
    gathered.clear(now)
    return gathered


def test_after_silence_one_is_handled_at_once() -> None:
    gathered = Gathered()
    assert not gathered.due(1e9)
    gathered.add(record(5))
    assert gathered.due(0.0)
    assert gathered.due_in(0.0) == 0
    gathered = handled_at(100.0)
    gathered.add(record(6))
    assert gathered.due(100.0 + EVERY_S)
    assert gathered.due_in(200.0) == 0


def test_those_that_come_soon_after_wait_for_others_but_not_for_ever() -> None:
    gathered = handled_at(100.0)
    gathered.add(record(5))
    gathered.add(record(6))
    assert gathered.due_in(100.0) == EVERY_S
    assert not gathered.due(100.0 + 0.9 * EVERY_S)
    assert gathered.due(100.0 + EVERY_S)


def test_many_or_large_ones_wait_no_longer() -> None:
    many, large = handled_at(100.0), handled_at(100.0)
    for offset in range(MOST_MESSAGES):
        assert not many.due(100.0)
        many.add(record(offset))
    assert many.due(100.0)
    large.add(record(1, MOST_BYTES - 1))
    assert not large.due(100.0)
    large.add(record(2))
    assert large.due(100.0)
    large.clear(100.0)
    large.add(record(3, MOST_BYTES - 1))
    assert not large.due(100.0)


def test_what_is_committed_is_behind_the_last_of_each_partition() -> None:
    gathered = Gathered()
    for one in (record(5), record(8, partition=1), record(6)):
        gathered.add(one)
    gathered.handled(record(3, partition=2))
    ends = {TopicPartition("log", 0): 7, TopicPartition("log", 1): 9, TopicPartition("log", 2): 4}
    assert gathered.ends() == ends
    assert [one.offset for one in gathered.by_topic()["log"]] == [5, 8, 6]
    gathered.clear(0.0)
    assert not gathered
    assert gathered.ends() == ends, "handled, and not committed yet"
    gathered.committed()
    assert not gathered.ends()
