"""Prediction batches that come from anywhere: bombs, cut and mangled streams, other columns, values out of range."""

import struct
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.arrowbounds import Bounds, check_stream
from shipway.contract.errors import Permanent
from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import SCHEMA, AnsweredRows, PredictionRecord

RECORD = PredictionRecord(
    prediction_id="p",
    at=datetime(2026, 1, 1, tzinfo=UTC),
    model="m",
    version=1,
    generation=1,
    instance="i",
    role="champion",
    outcome="answered",
    reason=None,
    latency_us=1,
    client_id=None,
    trace_id=None,
    features=[1.0, 2.0] * 40,
    scores=[0.5],
)
GOOD = encode_batch([RECORD] * 3, "s", "i").value or b""


def stream(columns: list[Any], schema: pa.Schema = SCHEMA, codec: str | None = "zstd", times: int = 1) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        for _ in range(times):
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return bytes(sink.getvalue().to_pybytes())


def columns(rows: int = 1, **changes: Any) -> list[Any]:
    return [pa.array(changes.get(f.name, [getattr(RECORD, f.name)] * rows), f.type) for f in SCHEMA]


@pytest.mark.parametrize("as_bytes", [(), (1,), (0, 1, 2)], ids=["texts", "both", "bytes"])
@pytest.mark.parametrize("refusals", [True, False])
def test_rows_told_by_column_are_the_same_records_as_told_one_by_one(as_bytes: Any, refusals: bool) -> None:
    """Calls of different models, widths, samples and outputs, and refusals between them; ids as texts, or as bytes."""
    rng = np.random.default_rng(1)
    calls = [(3, 4, 1, None), (1, 2, 3, np.array([False])), (5, 4, 1, np.array([True, False, True, True, False]))]
    parts: list[PredictionRecord | AnsweredRows] = []
    singly: list[PredictionRecord] = []
    for number, (count, width, outputs, sampled) in enumerate(calls):
        raw = rng.bytes(16 * count) if number in as_bytes else b""
        ids = [raw[16 * i : 16 * i + 16].hex() if raw else f"p{number}-{i}" for i in range(count)]
        traces = ids if raw else [None, *ids[1:]]
        call = AnsweredRows(
            prediction_ids=raw or ids,
            trace_ids=raw or traces,
            client_ids=ids if number else None,
            at=RECORD.at,
            model=f"m{number}",
            version=number,
            generation=number,
            instance="i",
            role="candidate",
            latency_us=number,
            features=rng.normal(size=(count, width)),
            sampled=sampled,
            scores=rng.normal(size=(count, outputs)),
        )
        refused = replace(RECORD, outcome="refused", reason="503", version=None, features=None, scores=None)
        parts += [call.rows(0, 1), call.rows(1, count), *([refused] if refusals else [])]
        for i in range(count):
            kept = sampled is None or bool(sampled[i])
            singly.append(
                PredictionRecord(
                    prediction_id=ids[i],
                    at=RECORD.at,
                    model=f"m{number}",
                    version=number,
                    generation=number,
                    instance="i",
                    role="candidate",
                    outcome="answered",
                    reason=None,
                    latency_us=number,
                    client_id=ids[i] if number else None,
                    trace_id=traces[i],
                    features=call.features[i].tolist() if kept else None,
                    scores=call.scores[i].tolist(),
                )
            )
        singly += [refused] if refusals else []
    parts = [part for part in parts if isinstance(part, PredictionRecord) or len(part)]
    wanted = pa.Table.from_pylist([{f.name: getattr(r, f.name) for f in SCHEMA} for r in singly], SCHEMA)
    assert decode_batch(encode_batch(parts, "s", "i").value).equals(wanted)
    assert decode_batch(encode_batch(singly, "s", "i").value).equals(wanted)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_bomb_is_refused_before_it_goes_off(codec: str) -> None:
    bomb = stream(columns(features=[[0.0] * 9_000_000]), codec=codec)
    assert len(bomb) < 400_000
    before = pa.total_allocated_bytes()
    with pytest.raises(Permanent, match="decompressed"):
        decode_batch(bomb)
    assert pa.total_allocated_bytes() - before < 1_000_000


def test_many_small_bombs_are_one() -> None:
    with pytest.raises(Permanent, match="decompressed"):
        decode_batch(stream(columns(features=[[0.0] * 1_000_000]), times=9))


@pytest.mark.parametrize("declared", [2**62, 2**63 - 1, -2, -(2**63), 70_000_000])
def test_a_buffer_that_lies_about_its_length_is_refused(declared: int) -> None:
    """The length before each compressed buffer is what Arrow would allocate."""
    length = struct.pack("<q", 3 * 80 * 8)  # the features' numbers
    assert GOOD.count(length) == 1
    with pytest.raises(Permanent):
        decode_batch(GOOD.replace(length, struct.pack("<q", declared)))


def test_too_many_rows_and_messages_are_refused() -> None:
    with pytest.raises(Permanent, match="100001 rows"):
        decode_batch(stream(columns(100_001, features=[None] * 100_001)))
    with pytest.raises(Permanent, match="more than 1000 batches"):
        decode_batch(stream(columns(), codec=None, times=1001))


def test_what_is_declared_is_what_is_there() -> None:
    for codec in ("zstd", "lz4", None):
        good = stream(columns(50), codec=codec)
        size = sum(buffer.size for array in columns(50) for buffer in array.buffers() if buffer)
        check_stream(good, Bounds(rows=50, bytes=size + 8 * 64))
        for wrong in (Bounds(rows=49), Bounds(bytes=size // 2), Bounds(message_bytes=len(good) - 1)):
            with pytest.raises(Permanent):
                check_stream(good, wrong)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(Permanent):
        decode_batch(value)


@given(st.integers(0, len(GOOD)))
def test_a_cut_stream_is_refused_or_short(length: int) -> None:
    try:
        assert decode_batch(GOOD[:length]).num_rows in (0, 3)
    except Permanent:
        return


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_mangled_stream_is_refused_or_still_a_batch(changes: list[tuple[int, int]]) -> None:
    mangled = bytearray(GOOD)
    for at, byte in changes:
        mangled[at] = byte
    try:
        batch = decode_batch(bytes(mangled))
    except Permanent:
        return
    assert batch.schema.names == SCHEMA.names
    batch.to_pylist()


def test_other_columns_are_refused() -> None:
    renamed = pa.schema([pa.field("x" + f.name, f.type) for f in SCHEMA])
    retyped = pa.schema([pa.field(f.name, pa.string()) for f in SCHEMA])
    for schema in (renamed, retyped, pa.schema([]), pa.schema([pa.field("a", pa.dictionary(pa.int8(), pa.string()))])):
        with pytest.raises(Permanent):
            decode_batch(stream([pa.nulls(1, f.type) for f in schema], schema))


def test_columns_of_a_newer_writer_are_passed_over_and_those_of_an_older_one_are_null() -> None:
    grown = pa.schema([pa.field("energy_wh", pa.float64()), *SCHEMA, pa.field("tags", pa.list_(pa.string()))])
    batch = decode_batch(stream([pa.array([0.1]), *columns(), pa.array([["a"]], pa.list_(pa.string()))], grown))
    assert batch.equals(decode_batch(stream(columns())))
    shrunk = pa.schema([f for f in SCHEMA if f.name != "client_id"])
    older = decode_batch(stream([c for f, c in zip(SCHEMA, columns(), strict=True) if f.name != "client_id"], shrunk))
    assert older.schema.names == SCHEMA.names
    assert older["client_id"].to_pylist() == [None]


def test_columns_that_are_needed_twice_or_not_there_are_refused() -> None:
    for schema in (pa.schema([*SCHEMA, SCHEMA.field("at")]), pa.schema([f for f in SCHEMA if f.name != "at"])):
        with pytest.raises(Permanent, match="at: must be one column"):
            decode_batch(stream([pa.array([getattr(RECORD, f.name)], f.type) for f in schema], schema))
    many = pa.schema([*SCHEMA, *(pa.field(f"c{i}", pa.null()) for i in range(90))])
    with pytest.raises(Permanent, match="there are 104; the limit is 100"):
        decode_batch(stream([*columns(), *(pa.nulls(1) for _ in range(90))], many))


def test_a_deeply_nested_column_is_refused_though_nobody_reads_it() -> None:
    kind = pa.float64()
    for _ in range(8):
        kind = pa.list_(kind)
    deep = pa.schema([*SCHEMA, pa.field("deep", kind)])
    with pytest.raises(Permanent, match="deep: its type is nested deeper than 8"):
        decode_batch(stream([*columns(), pa.nulls(1, kind)], deep))
    assert decode_batch(stream([*columns(), pa.nulls(1, kind)], deep), Bounds(nesting=9)).num_rows == 1


@pytest.mark.parametrize("micros", [2**62, -(2**62), 2**63 - 1, 253402300800 * 10**6])
def test_a_time_that_no_calendar_has_is_refused(micros: int) -> None:
    at = pa.array([micros], pa.int64()).cast(pa.timestamp("us", "UTC"))
    with pytest.raises(Permanent, match="at:"):
        decode_batch(stream(columns(at=at)))


def test_numbers_that_make_no_sense_are_refused() -> None:
    for name, value in (("latency_us", -1), ("latency_us", 2**62), ("version", -1), ("generation", -5)):
        with pytest.raises(Permanent, match=f"{name}:"):
            decode_batch(stream(columns(1, **{name: [value]})))


@pytest.mark.parametrize("model", ["a\x00b", "x" * 257])
def test_a_model_that_no_key_can_hold_is_refused(model: str) -> None:
    with pytest.raises(Permanent, match="model:"):
        decode_batch(stream(columns(model=[model])))


def test_what_a_client_calls_its_rows_can_not_take_other_records_along() -> None:
    named = [replace(RECORD, client_id=text) for text in ("a\x00b", "", "\u202e", "x" * 100_000)]
    assert decode_batch(encode_batch(named, "s", "i").value).num_rows == 4


def test_what_writers_write_is_taken() -> None:
    odd = replace(RECORD, features=[float("nan"), float("inf")], version=None, model="m" * 100, reason="x" * 500)
    refused = replace(odd, features=None, scores=None, outcome="refused", client_id="c" * 200)
    assert decode_batch(encode_batch([RECORD, odd, refused], "s", "i").value).num_rows == 3
