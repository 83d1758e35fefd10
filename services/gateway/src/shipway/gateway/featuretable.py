"""The look-up tables as a gateway has them: the newest row of every entity, in memory, bounded.

They are followed from the first version that looks features up on, and stay as they are when Kafka goes. What there is
no room for is left out, counted, and told: then an entity that is not found may be one of these, and must not pass for
unknown.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from prometheus_client import Gauge

from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.events import FeaturesPublished
from shipway.contract.lookups import check_row, row_key
from shipway.contract.topics import FEATURES
from shipway.gateway.filling import Known
from shipway.gateway.settings import FeatureSettings
from shipway.runtime import log
from shipway.runtime.compacted import Compacted
from shipway.runtime.settings import KafkaSettings

_log = log.get(__name__)
ROWS = Gauge("shipway_gateway_feature_rows", "Rows of look-up tables in memory.", multiprocess_mode="livemax")
BYTES = Gauge("shipway_gateway_feature_bytes", "Memory that they take, about.", multiprocess_mode="livesum")
LEFT_OUT = Gauge(
    "shipway_gateway_feature_rows_left_out",
    "Rows of look-up tables that there is no room for.",
    multiprocess_mode="livemax",
)
# The tables are silent whenever nobody publishes: no sign of a consumer that is stuck.
_SILENCE_S = 600.0
# A row besides its name and values: a tuple, a number, its place in a dict that is half full.
_ROW_BYTES = 180
REMEMBERED = 100_000
"""So many rows that had no room are known by the hashes of their names, in about 10 MB."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True)
class Room:
    """How full the tables are, of how much; ``left_out`` rows have no room.

    Each counts once, however often it is published, until there are more than REMEMBERED.
    """

    rows: int
    bytes: int
    most_rows: int
    most_bytes: int
    left_out: int


class FeatureTable:
    """Rows by table and key. ``on_read`` is called once they are read, and after each outage."""

    def __init__(self, kafka: KafkaSettings, settings: FeatureSettings) -> None:
        self.topic = Compacted(
            kafka, FEATURES, self._put, self._remove, on_read=self._read, silence_s=_SILENCE_S, resume=True
        )
        self.on_read: Callable[[], None] = lambda: None
        self.wanted = asyncio.Event()
        self.tables: Counter[str] = Counter()
        self._rows: dict[str, tuple[float, bytes]] = {}
        self._most_rows, self._most_bytes = settings.keep_rows, settings.keep_mb * 1_000_000
        self._bytes = 0
        self._without_room: set[int] = set()
        self._more_without_room = 0

    async def run(self) -> None:
        """Follows the tables for ever, once they are wanted."""
        await self.wanted.wait()
        await self.topic.run()

    @property
    def ready(self) -> bool:
        """Whether they were read once, to their end."""
        return self.topic.caught_up.is_set()

    @property
    def room(self) -> Room:
        """How full they are."""
        return Room(len(self._rows), self._bytes, self._most_rows, self._most_bytes, self._left_out)

    @property
    def _left_out(self) -> int:
        return len(self._without_room) + self._more_without_room

    def find(self, table: str, key: str) -> Known | None:
        """What a table has of a key."""
        found = self._rows.get(row_key(table, key))
        return Known(_decode(found[1]), found[0]) if found is not None else None

    def _read(self) -> None:
        self.on_read()

    def _put(self, name: str, event: Envelope) -> None:
        row = event.payload
        if not isinstance(row, FeaturesPublished):
            raise Permanent(f"{row.type} does not belong on {FEATURES.name}")
        check_row(row.table, row.key, row.values)
        if name != row_key(row.table, row.key):
            raise InvalidField("key", f"{name[:100]!r} must be {row_key(row.table, row.key)!r}, as the row has it")
        self._drop(name)
        kept = row.at.timestamp(), _encode(row.values)
        size = _size(name, kept[1])
        if len(self._rows) >= self._most_rows or self._bytes + size > self._most_bytes:
            if not self._left_out:
                _log.error("no room for rows of look-up tables", rows=len(self._rows), bytes=self._bytes)
            self._leave_out(name)
        else:
            self._rows[name] = kept
            self._bytes += size
            self.tables[row.table] += 1
            self._without_room.discard(hash(name))
        self._tell()

    def _remove(self, name: str) -> None:
        self._drop(name)
        self._without_room.discard(hash(name))
        self._tell()

    def _drop(self, name: str) -> None:
        was = self._rows.pop(name, None)
        if was is None:
            return
        self._bytes -= _size(name, was[1])
        table = name.partition("/")[0]
        self.tables[table] -= 1
        if not self.tables[table]:
            del self.tables[table]

    def _leave_out(self, name: str) -> None:
        if len(self._without_room) < REMEMBERED:
            self._without_room.add(hash(name))
        elif hash(name) not in self._without_room:
            self._more_without_room += 1

    def _tell(self) -> None:
        ROWS.set(len(self._rows))
        BYTES.set(self._bytes)
        LEFT_OUT.set(self._left_out)


def _size(name: str, values: bytes) -> int:
    return _ROW_BYTES + sys.getsizeof(name) + sys.getsizeof(values)
