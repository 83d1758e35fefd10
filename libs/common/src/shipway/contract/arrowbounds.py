"""How large an Arrow stream becomes, known before anything is decompressed: a message of 7 kB can hold 160 MB.

Reads the messages' headers, which Arrow itself has verified to be well-formed flatbuffers, and the length that stands
before each compressed buffer, which Arrow allocates. Layout: https://arrow.apache.org/docs/format/Columnar.html and
https://github.com/apache/arrow/blob/main/format/Message.fbs
"""

import struct
from dataclasses import dataclass

import pyarrow as pa

from shipway.contract.errors import InvalidField, Permanent

_RECORD_BATCH, _SCHEMA = 3, 1
_MESSAGE_TYPE, _MESSAGE_HEADER = 1, 2
_ROWS, _BUFFERS, _COMPRESSION = 0, 2, 3
_BUFFER_BYTES = 16


@dataclass(frozen=True)
class Bounds:
    """What an Arrow stream may hold. ``message_bytes`` is its own size, ``bytes`` that of its buffers, decompressed."""

    message_bytes: int = 4_000_000
    rows: int = 100_000
    bytes: int = 64_000_000
    columns: int = 100
    nesting: int = 8
    batches: int = 1000


def check_stream(value: bytes, bounds: Bounds) -> None:
    """Holds an Arrow IPC stream against limits, by what its headers declare.

    Raises:
        Permanent: it declares more than allowed, or holds anything but a schema and batches.
        pa.ArrowException, ValueError: it is not a stream.
    """
    if len(value) > bounds.message_bytes:
        raise Permanent(f"an Arrow stream of {len(value)} bytes; the limit is {bounds.message_bytes}")
    rows = size = 0
    with pa.BufferReader(value) as source:
        for number, message in enumerate(pa.ipc.MessageReader.open_stream(source)):
            if number > bounds.batches:
                raise Permanent(f"an Arrow stream of more than {bounds.batches} batches")
            try:
                batch_rows, batch_bytes = _declared(memoryview(message.metadata), message.body)
            except (struct.error, IndexError) as err:
                raise Permanent("an Arrow stream whose headers point outside of it") from err
            rows += batch_rows
            size += batch_bytes
            if rows > bounds.rows:
                raise Permanent(f"an Arrow stream of {rows} rows; the limit is {bounds.rows}")
            if size > bounds.bytes:
                raise Permanent(f"an Arrow stream of {size} bytes, decompressed; the limit is {bounds.bytes}")


def check_schema(schema: pa.Schema, *, columns: int, nesting: int) -> None:
    """Holds the columns of a file or stream against limits.

    Raises:
        InvalidField: there are too many, or one's type is nested too deeply; it names the column.
    """
    if len(schema) > columns:
        raise InvalidField("columns", f"there are {len(schema)}; the limit is {columns}")
    for field in schema:
        if _nesting(field.type) > nesting:
            raise InvalidField(field.name[:200], f"its type is nested deeper than {nesting} levels")


def _nesting(kind: pa.DataType) -> int:
    return 1 + max((_nesting(kind.field(i).type) for i in range(kind.num_fields)), default=0)


def _declared(header: memoryview, body: pa.Buffer | None) -> tuple[int, int]:
    """Rows and decompressed bytes of one message."""
    message = _offset(header, 0)
    kind_at = _field(header, message, _MESSAGE_TYPE)
    kind = header[kind_at] if kind_at else 0
    if kind == _SCHEMA:
        return 0, 0
    batch_at = _field(header, message, _MESSAGE_HEADER)
    if kind != _RECORD_BATCH or not batch_at:
        raise Permanent("an Arrow stream with other messages than record batches")
    batch = _offset(header, batch_at)
    rows_at, buffers_at = _field(header, batch, _ROWS), _field(header, batch, _BUFFERS)
    rows = _int64(header, rows_at) if rows_at else 0
    data = memoryview(body) if body is not None else memoryview(b"")
    if rows < 0:
        raise Permanent("an Arrow stream with a negative number of rows")
    if not buffers_at:
        return rows, 0
    if not _field(header, batch, _COMPRESSION):
        return rows, len(data)
    vector = _offset(header, buffers_at)
    (count,) = struct.unpack_from("<I", header, vector)
    size = 0
    for i in range(count):
        offset, length = struct.unpack_from("<qq", header, vector + 4 + i * _BUFFER_BYTES)
        if length:
            if offset < 0:
                raise Permanent("an Arrow stream whose headers point outside of it")
            declared = _int64(data, offset)
            if declared < -1:
                raise Permanent("an Arrow stream with a buffer of negative length")
            size += length if declared == -1 else declared  # -1: this buffer is not compressed
    return rows, size


def _offset(table: memoryview, at: int) -> int:
    (relative,) = struct.unpack_from("<I", table, at)
    return at + int(relative)


def _field(buffer: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffers table is; 0 where it has its default."""
    (back,) = struct.unpack_from("<i", buffer, table)
    vtable = table - int(back)
    if vtable < 0:
        raise IndexError(vtable)
    (vtable_bytes,) = struct.unpack_from("<H", buffer, vtable)
    place = 4 + 2 * number
    if place + 2 > vtable_bytes:
        return 0
    (within,) = struct.unpack_from("<H", buffer, vtable + place)
    return table + int(within) if within else 0


def _int64(buffer: memoryview, at: int) -> int:
    (number,) = struct.unpack_from("<q", buffer, at)
    return int(number)
