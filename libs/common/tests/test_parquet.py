"""Parquet that comes from anywhere: files that expand to more than any memory, and damaged ones."""

import io
import random
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.bundle.datasets import newest_time, read_window
from shipway.bundle.store import decode_golden, encode_golden
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import ModelSpec, parse_spec
from shipway.runtime.objects import FolderStore

T0, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
SIGNATURE = Signature(features=[Feature(name="n", type="number")], output="regression", target="y")
GOLDEN = encode_golden(np.ones((5, 1)), np.ones((5, 1)))


def spec(max_rows: int = 1000) -> ModelSpec:
    data = {"source": "objects:d/", "time_column": "at", "train": "10d", "holdout": "2d", "max_rows": max_rows}
    return parse_spec(
        {
            "name": "m",
            "data": data,
            "target": {"column": "y", "kind": "regression"},
            "features": {"n": {"type": "number"}},
            "retirement": {"max_age": "30d", "unused_for": "1d"},
        }
    )


def rows(count: int) -> pa.Table:
    return pa.table(
        {
            "at": pa.repeat(pa.scalar(T0, pa.timestamp("us", "UTC")), count),
            "n": pa.nulls(count, pa.float64()),
            "y": pa.nulls(count, pa.float64()),
            "other": pa.repeat("x" * 100, count),
        }
    )


def file_of(table: pa.Table, groups: int = 1) -> bytes:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(table)
    return sink.getvalue()


def test_a_file_of_more_rows_than_any_memory_is_refused_in_little(tmp_path: Path) -> None:
    store, group = FolderStore(tmp_path), rows(200_000)
    store.put("d/bomb.parquet", file_of(group, groups=40))
    assert (store.size("d/bomb.parquet") or 0) < 500_000
    whole = 40 * group.nbytes
    del group
    before = pa.default_memory_pool().max_memory()
    assert newest_time(store, spec()).replace(microsecond=0) == T0
    with pytest.raises(InvalidField, match="more than 1000 rows"):
        read_window(store, spec(), T0, END)
    assert pa.default_memory_pool().max_memory() - before < whole / 5


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("d/good.parquet", file_of(rows(10)))
    assert read_window(store, spec(), T0, END).column_names == ["n", "y", "at"]
    assert read_window(store, spec(), END, END).num_rows == 0


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    """The same harms at every run; what they may not be is a bug, or an outage to be waited out."""
    store, good, rng, refused = FolderStore(tmp_path), file_of(rows(10)), random.Random(5), 0
    for _ in range(120):
        harmed = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            harmed[rng.randrange(len(harmed))] = rng.choice([0, 255, rng.randrange(256)])
        store.put("d/one.parquet", bytes(harmed))
        try:
            newest_time(store, spec())
            read_window(store, spec(), T0, END)
        except Permanent:
            refused += 1
    assert 40 < refused <= 120


def test_golden_rows_are_counted_by_what_is_read() -> None:
    assert decode_golden(GOLDEN, SIGNATURE, 5)[0].shape == (5, 1)
    with pytest.raises(Permanent, match="5 rows"):
        decode_golden(GOLDEN, SIGNATURE, 4)
    table = pa.table({"f0": np.ones(1000), "score0": np.ones(1000)})
    with pytest.raises(Permanent, match="3000 rows"):
        decode_golden(file_of(table, groups=3), SIGNATURE, 2999)
    # The file says 1, its group 1000 (a zigzag varint, 2000 = d0 0f, after the field's header 16).
    honest = file_of(table)
    lying = honest.replace(b"\x16\xd0\x0f\x19\x1c", b"\x16\x82\x00\x19\x1c", 1)
    assert lying != honest
    assert pq.ParquetFile(io.BytesIO(lying)).metadata.num_rows == 1
    with pytest.raises(Permanent, match="1000 rows"):
        decode_golden(lying, SIGNATURE, 2000)


def test_harmed_golden_rows_are_refused_or_read() -> None:
    rng, refused = random.Random(6), 0
    for _ in range(300):
        harmed = bytearray(GOLDEN)
        harmed[rng.randrange(len(harmed))] = rng.randrange(256)
        try:
            decode_golden(bytes(harmed), SIGNATURE, 10)
        except Permanent:
            refused += 1
    assert 30 < refused <= 300
