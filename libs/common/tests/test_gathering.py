"""When what is gathered is handled."""

from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from shipway.runtime.gathering import EVERY_S, MOST_BYTES, MOST_MESSAGES, Gathered


def record(offset: int, size: int = 1, partition: int = 0) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("log", partition, offset, 0, 0, None, b"x" * size, None, 0, size, ())


def test_the_first_waits_for_others_but_not_for_ever() -> None:
    gathered = Gathered()
    assert not gathered.due(1e9)
    gathered.add(record(5), 100.0)
    gathered.add(record(6), 100.0 + EVERY_S / 2)
    assert gathered.due_in(100.0) == EVERY_S
    assert not gathered.due(100.0 + 0.9 * EVERY_S)
    assert gathered.due(100.0 + EVERY_S)
    assert gathered.due_in(200.0) == 0


def test_many_or_large_ones_wait_no_longer() -> None:
    many, large = Gathered(), Gathered()
    for offset in range(MOST_MESSAGES):
        assert not many.due(0.0)
        many.add(record(offset), 0.0)
    assert many.due(0.0)
    large.add(record(1, MOST_BYTES - 1), 0.0)
    assert not large.due(0.0)
    large.add(record(2), 0.0)
    assert large.due(0.0)
    large.clear()
    large.add(record(3, MOST_BYTES - 1), 0.0)
    assert not large.due(0.0)


def test_what_is_committed_is_behind_the_last_of_each_partition() -> None:
    gathered = Gathered()
    for one in (record(5), record(8, partition=1), record(6)):
        gathered.add(one, 0.0)
    assert gathered.ends() == {TopicPartition("log", 0): 7, TopicPartition("log", 1): 9}
    assert [one.offset for one in gathered.by_topic()["log"]] == [5, 8, 6]
    gathered.clear()
    assert not gathered
    assert not gathered.ends()
