"""Messages of a log that wait to be handled together: for a reader a message costs more than what is in it. Pure."""

from collections.abc import Mapping

from aiokafka import ConsumerRecord, TopicPartition

EVERY_S = 1.0
"""So long after the last ones a message waits for others; one that comes after silence is handled at once."""
MOST_BYTES, MOST_MESSAGES = 1_000_000, 100
"""As many are held in memory, and are one transaction; of compressed ones it takes a multiple to look into them."""


class Gathered:
    """What waits, in the order in which it came. Times are seconds of a clock that is never set."""

    def __init__(self) -> None:
        self._records: list[ConsumerRecord] = []
        self._ends: dict[TopicPartition, int] = {}
        self._bytes = 0
        self._due_at = 0.0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: ConsumerRecord) -> None:
        """One more."""
        self._records.append(record)
        self.handled(record)
        self._bytes += len(record.value or b"")

    def due(self, now: float) -> bool:
        """Whether it is time to handle them: since the last ones, or because they are many."""
        full = self._bytes >= MOST_BYTES or len(self._records) >= MOST_MESSAGES
        return bool(self._records) and (full or now >= self._due_at)

    def due_in(self, now: float) -> float:
        """Seconds until it is time."""
        return max(0.0, self._due_at - now)

    def by_topic(self) -> Mapping[str, list[ConsumerRecord]]:
        """All of them."""
        found: dict[str, list[ConsumerRecord]] = {}
        for record in self._records:
            found.setdefault(record.topic, []).append(record)
        return found

    def handled(self, record: ConsumerRecord) -> None:
        """Another message was, while these may wait: its offset is committed with theirs."""
        self._ends[TopicPartition(record.topic, record.partition)] = record.offset + 1

    def ends(self) -> Mapping[TopicPartition, int]:
        """The offset of the next message to handle, in each partition with one that is not committed."""
        return dict(self._ends)

    def clear(self, now: float) -> None:
        """They are handled."""
        self._records, self._bytes, self._due_at = [], 0, now + EVERY_S

    def committed(self) -> None:
        """All offsets of what was handled are."""
        self._ends = {}
