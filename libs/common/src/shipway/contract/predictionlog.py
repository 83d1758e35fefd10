"""The prediction log's records: one row a prediction, refused ones too; see ``predictionbatch`` for how they travel."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Matrix = npt.NDArray[np.float64]
ID_BYTES = 16
Outcome = Literal["answered", "refused", "failed"]

SCHEMA = pa.schema(
    [
        pa.field("prediction_id", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.int32()),
        pa.field("generation", pa.int64()),
        pa.field("instance", pa.string(), nullable=False),
        pa.field("role", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("latency_us", pa.int64(), nullable=False),
        pa.field("client_id", pa.string()),
        pa.field("trace_id", pa.string()),
        pa.field("features", pa.list_(pa.float64())),
        pa.field("scores", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One prediction. ``features`` are the encoded numbers in the signature's order, NaN where redacted or missing;
    None where the spec's sample leaves them out or there are none (a refused request). ``latency_us`` is the
    time that the writer spent on it.
    """

    prediction_id: str
    at: datetime
    model: str
    version: int | None
    generation: int | None
    instance: str
    role: str | None
    outcome: Outcome
    reason: str | None
    latency_us: int
    client_id: str | None
    trace_id: str | None
    features: list[float] | None
    scores: list[float] | None


class AnsweredRows(msgspec.Struct, frozen=True, eq=False):
    """The records of the rows that one call answered, told by column: a record an object would cost what scoring costs.

    Ids are texts, or bytes, 16 a row, which are written as 32 hexadecimal digits each. ``features`` (rows, features)
    and ``scores`` (rows, outputs) as in PredictionRecord; ``sampled`` (rows,) says whose features are kept, None all.
    """

    prediction_ids: Sequence[str] | bytes
    trace_ids: Sequence[str | None] | bytes
    client_ids: Sequence[str | None] | None
    at: datetime
    model: str
    version: int
    generation: int
    instance: str
    role: str
    latency_us: int
    features: Matrix
    sampled: npt.NDArray[np.bool_] | None
    scores: Matrix

    def __len__(self) -> int:
        return len(self.scores)

    def rows(self, start: int, stop: int) -> "AnsweredRows":
        """Some of the rows."""
        part, ids = slice(start, stop), slice(ID_BYTES * start, ID_BYTES * stop)
        return msgspec.structs.replace(
            self,
            prediction_ids=self.prediction_ids[ids if isinstance(self.prediction_ids, bytes) else part],
            trace_ids=self.trace_ids[ids if isinstance(self.trace_ids, bytes) else part],
            client_ids=self.client_ids[part] if self.client_ids is not None else None,
            features=self.features[part],
            sampled=self.sampled[part] if self.sampled is not None else None,
            scores=self.scores[part],
        )


Part = PredictionRecord | AnsweredRows
