"""Batches of the prediction log on the wire: columnar Arrow as Kafka values, written and read.

A batch is a CloudEvent by its headers (``ce_id``, ``ce_source``), so that readers take it once in effect.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.contract.arrowbounds import Bounds, check_schema, check_stream
from shipway.contract.envelope import Headers, WireMessage
from shipway.contract.errors import Permanent
from shipway.contract.events import PREDICTION_BATCH
from shipway.contract.predictionlog import ID_BYTES, SCHEMA, Matrix, Part, PredictionRecord

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
BOUNDS = Bounds()
MAX_NAME = 256
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_RANGES = {  # times in microseconds: the years 1970 to 9999, which datetime and PostgreSQL both know
    "at": (0, 253_402_300_799_999_999),
    "latency_us": (0, 10**12),
    "version": (0, 2**31 - 1),
    "generation": (0, 2**63 - 1),
}


def encode_batch(parts: Sequence[Part], source: str, instance: str) -> WireMessage:
    """The records as one Kafka message."""
    batch = record_batch(parts)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", uuid.uuid4().hex.encode()),
        ("ce_source", source.encode()),
        ("ce_type", PREDICTION_BATCH.encode()),
        ("ce_time", datetime.now(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]
    return WireMessage(instance.encode(), sink.getvalue().to_pybytes(), headers)


def record_batch(parts: Sequence[Part]) -> pa.RecordBatch:
    """The records as Arrow, of SCHEMA."""
    if not parts:
        return pa.RecordBatch.from_pylist([], SCHEMA)
    counts = [1 if isinstance(part, PredictionRecord) else len(part) for part in parts]
    rows = sum(counts)
    columns: list[pa.Array] = []
    for field in SCHEMA:
        if field.name in _ROW_BY_ROW:
            columns.append(_by_row(parts, *_ROW_BY_ROW[field.name], rows))
        elif field.name in ("features", "scores"):
            columns.append(_lists(parts, field.name, counts))
        else:
            columns.append(_by_part(parts, field, counts, rows))
    return pa.record_batch(columns, schema=SCHEMA)


def _by_part(parts: Sequence[Part], field: pa.Field, counts: Sequence[int], rows: int) -> pa.Array:
    """A column of what the rows of a part have in common, and mostly all rows of a batch."""
    shared: list[Any]
    if field.name in _OF_ANSWERED:  # where an attribute is missing, asking for it is slow
        of_answered = _OF_ANSWERED[field.name]
        shared = [getattr(p, field.name) if isinstance(p, PredictionRecord) else of_answered for p in parts]
    else:
        shared = [getattr(part, field.name) for part in parts]
    if shared.count(shared[0]) == len(shared):
        return pa.repeat(pa.scalar(shared[0], field.type), rows)
    if field.name == "at":
        return pa.array(np.repeat([_microseconds(at) for at in shared], counts), pa.int64()).cast(field.type)
    if field.name == "latency_us":
        return pa.array(np.repeat(shared, counts), field.type)
    return pa.array(shared, field.type).take(pa.array(np.repeat(np.arange(len(parts)), counts)))


def _microseconds(at: datetime) -> int:
    """Since 1970; Arrow takes three times as long to find it."""
    return (at - _EPOCH) // _MICROSECOND


_OF_ANSWERED = {"outcome": "answered", "reason": None}
_ROW_BY_ROW = {
    "prediction_id": ("prediction_id", "prediction_ids"),
    "trace_id": ("trace_id", "trace_ids"),
    "client_id": ("client_id", "client_ids"),
}


def _by_row(parts: Sequence[Part], of_one: str, of_many: str, rows: int) -> pa.Array:
    """A column of texts, one a row."""
    given = [getattr(part, of_one if isinstance(part, PredictionRecord) else of_many) for part in parts]
    if all(type(ids) is bytes for ids in given):
        return _hexadecimal(b"".join(given))
    if not any(given):
        return pa.nulls(rows, pa.string())
    found: list[str | None] = []
    for part, ids in zip(parts, given, strict=True):
        if isinstance(part, PredictionRecord):
            found.append(ids)
        elif isinstance(ids, bytes):
            found.extend(ids.hex(" ", ID_BYTES).split(" "))
        else:
            found.extend([None] * len(part) if ids is None else ids)
    return pa.array(found, pa.string())


def _hexadecimal(joined: bytes) -> pa.Array:
    """Ids of ID_BYTES each as texts, without making a text of each."""
    text, width = pa.py_buffer(joined.hex().encode()), 2 * ID_BYTES
    offsets = np.arange(0, text.size + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), text)


def _lists(parts: Sequence[Part], name: str, counts: Sequence[int]) -> pa.Array:
    """A column of lists of numbers, from matrices as they are."""
    alike = _alike(parts, name)
    if alike is not None:
        offsets = np.arange(0, alike.size + 1, alike.shape[1], dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(alike.reshape(-1)))
    numbers: list[Matrix] = []
    widths: list[int] = []
    missing = np.zeros(sum(counts), np.bool_)
    at = 0
    for part, count in zip(parts, counts, strict=True):
        if isinstance(part, PredictionRecord):
            row = getattr(part, name)
            missing[at] = row is None
            numbers.append(np.array(row or (), np.float64))
            widths.append(len(row or ()))
        else:
            found = getattr(part, name)
            widths.append(found.shape[1])
            if name == "features" and part.sampled is not None:
                missing[at : at + count] = ~part.sampled
                found = found[part.sampled]
            numbers.append(found.reshape(-1))
        at += count
    lengths = np.repeat(widths, counts)
    lengths[missing] = 0
    offsets = np.zeros(len(missing) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    values = pa.array(np.concatenate([np.empty(0), *numbers]), pa.float64())
    mask = pa.array(missing) if missing.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)


def _alike(parts: Sequence[Part], name: str) -> Matrix | None:
    """The numbers of all rows, where each row has as many of them and none lacks them, as in most batches."""
    found: list[Matrix] = []
    for part in parts:
        if isinstance(part, PredictionRecord) or part.sampled is not None:
            return None
        found.append(part.features if name == "features" else part.scores)
    width = found[0].shape[1]
    return np.concatenate(found) if width and all(one.shape[1] == width for one in found) else None


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
