"""The prediction log's records: columnar Arrow batches as Kafka values, one row a prediction, refused ones too.

A batch is a CloudEvent by its headers (``ce_id``, ``ce_source``), so that readers take it once in effect.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from shipway.contract.arrowbounds import Bounds, check_schema, check_stream
from shipway.contract.envelope import Headers, WireMessage
from shipway.contract.errors import Permanent
from shipway.contract.events import PREDICTION_BATCH

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
BOUNDS = Bounds()
MAX_NAME = 256
_RANGES = {  # times in microseconds: the years 1970 to 9999, which datetime and PostgreSQL both know
    "at": (0, 253_402_300_799_999_999),
    "latency_us": (0, 10**12),
    "version": (0, 2**31 - 1),
    "generation": (0, 2**63 - 1),
}

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


_COLUMNS = tuple(SCHEMA.names)


def encode_batch(records: list[PredictionRecord], source: str, instance: str) -> WireMessage:
    """The records as one Kafka message."""
    columns = [pa.array([getattr(r, name) for r in records], SCHEMA.field(name).type) for name in _COLUMNS]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", uuid.uuid4().hex.encode()),
        ("ce_source", source.encode()),
        ("ce_type", PREDICTION_BATCH.encode()),
        ("ce_time", datetime.now(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]
    return WireMessage(instance.encode(), sink.getvalue().to_pybytes(), headers)


def decode_batch(value: bytes | None, bounds: Bounds = BOUNDS) -> pa.Table:
    """The records of a message as an Arrow table of SCHEMA.

    A column that an older writer does not know is null, and one that only a newer writer knows is not read.

    Raises:
        Permanent: it is not such a batch, or too large.
    """
    if value is None:
        raise Permanent("a prediction batch without a value")
    try:
        check_stream(value, bounds)
        with pa.ipc.open_stream(value) as reader:
            check_schema(reader.schema, columns=bounds.columns, nesting=bounds.nesting)
            known = pa.ipc.IpcReadOptions(included_fields=_known_columns(reader.schema))
        with pa.ipc.open_stream(value, options=known) as reader:
            batches = []
            for batch in reader:
                batch.validate(full=True)
                batches.append(batch)
            table = _completed(pa.Table.from_batches(batches, reader.schema))
    except (pa.ArrowException, OSError, ValueError) as err:
        raise Permanent(f"not an Arrow stream of predictions: {err}") from err
    for name in (field.name for field in SCHEMA if not field.nullable):
        if table.column(name).null_count:
            raise Permanent(f"{name}: must not be null")
    table = table.cast(SCHEMA)
    _check_values(table)
    return table


def _known_columns(schema: pa.Schema) -> list[int]:
    """Where the columns of SCHEMA are in a writer's schema."""
    places = {field.name: schema.get_all_field_indices(field.name) for field in SCHEMA}
    for field in SCHEMA:
        found = [schema.field(place).type for place in places[field.name]]
        if found != [field.type] and (found or not field.nullable):
            raise Permanent(f"{field.name}: must be one column of type {field.type}, not {found or 'none'}")
    return [place for found in places.values() for place in found]


def _completed(table: pa.Table) -> pa.Table:
    """The table with all columns of SCHEMA, in its order."""
    columns = [
        table.column(f.name) if f.name in table.column_names else pa.nulls(table.num_rows, f.type) for f in SCHEMA
    ]
    return pa.table(columns, names=SCHEMA.names)


def _check_values(table: pa.Table) -> None:
    """Refuses what would stop a reader. Ids and reasons, which clients choose, are left as they are."""
    for name, (least, most) in _RANGES.items():
        column = table.column(name).cast(pa.int64())
        found = pc.min_max(column).as_py()
        if found["min"] is not None and not least <= found["min"] <= found["max"] <= most:
            raise Permanent(f"{name}: {found['min']} to {found['max']} is not within {least} to {most}")
    for model in pc.unique(table.column("model")).to_pylist():
        if len(model) > MAX_NAME or "\x00" in model:
            raise Permanent(f"model: must have {MAX_NAME} characters at most, none of them NUL")
