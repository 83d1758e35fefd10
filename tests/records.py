"""What is on record of a model's predictions: in the prediction log, and in the Parquet history."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from aiokafka import ConsumerRecord

from shipway.contract.envelope import text_headers
from shipway.contract.predictionbatch import decode_batch
from shipway.contract.topics import PREDICTION_LOG
from shipway.runtime.objects import ObjectMissing, ObjectStore

MAX_FILE_BYTES = 100_000_000
# A prediction's id, who wrote the record, and how it ended: an instance that answered too late writes one of its own,
# and so does one that was a shadow.
Name = tuple[str, str, str]


@dataclass
class Logged:
    """The records of one model in messages that grow, read on: each batch once, however often it is there."""

    messages: Sequence[ConsumerRecord]
    model: str
    names: list[Name] = field(default_factory=list)
    _batches: set[tuple[str, str]] = field(default_factory=set)
    _read: int = 0

    def read(self) -> Counter[Name]:
        """How often each record is there by now."""
        for message in self.messages[self._read :]:
            if message.topic == PREDICTION_LOG.name:
                headers = text_headers(message.headers)
                batch = headers.get("ce_source", ""), headers.get("ce_id", "")
                if batch not in self._batches:
                    self._batches.add(batch)
                    table = decode_batch(message.value)
                    self.names += _names(table.filter(pc.equal(table["model"], self.model)))
            self._read += 1
        return Counter(self.names)


@dataclass
class Filed:
    """The records of one model in the history, as somebody reads it who knows the folder and no more."""

    store: ObjectStore
    model: str
    _files: dict[str, Counter[Name]] = field(default_factory=dict)

    def read(self) -> Counter[Name]:
        """How often each record is there by now."""
        keys = self.store.list(f"history/{self.model}/")
        self._files = {key: self._files[key] if key in self._files else self._open(key) for key in keys}
        return sum(self._files.values(), Counter())

    def _open(self, key: str) -> Counter[Name]:
        try:
            data = self.store.get(key, MAX_FILE_BYTES)
        except ObjectMissing:  # it was merged into another one just now
            return Counter()
        return Counter(_names(pq.read_table(io.BytesIO(data))))


def _names(table: pa.Table) -> list[Name]:
    columns = [table[name].to_pylist() for name in ("prediction_id", "instance", "outcome", "role")]
    return [
        (one, instance, f"shadow {outcome}" if role == "shadow" else outcome)
        for one, instance, outcome, role in zip(*columns, strict=True)
    ]
