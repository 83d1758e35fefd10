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
from shipway.bundle.golden import decode_golden, encode_golden
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import ModelSpec, parse_spec
from shipway.runtime.objects import FolderStore
from shipway.runtime.settings import DataSettings

T0, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
SIGNATURE = Signature(features=[Feature(name="n", type="number")], output="regression", target="y")
GOLDEN = encode_golden(np.ones((5, 1)), np.ones((5, 1)))


def spec(max_rows: int = 1000, source: str = "objects:d/") -> ModelSpec:
    data = {"source": source, "time_column": "at", "train": "10d", "holdout": "2d", "max_rows": max_rows}
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
    assert newest_time(store, spec(), DataSettings()).replace(microsecond=0) == T0
    with pytest.raises(InvalidField, match="more than 1000 rows"):
        read_window(store, spec(), T0, END, DataSettings())
    assert pa.default_memory_pool().max_memory() - before < whole / 5


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("d/good.parquet", file_of(rows(10)))
    assert read_window(store, spec(), T0, END, DataSettings()).column_names == ["n", "y", "at"]
    assert read_window(store, spec(), END, END, DataSettings()).num_rows == 0


@pytest.mark.parametrize(
    ("limit", "field", "remedy"),
    [
        ({"max_rows": 9}, r"data\.max_rows", "more than 9 rows.*SHIPWAY__DATA__MAX_ROWS"),
        ({"max_bytes": 200}, r"data\.source", "more than 200 bytes, decoded.*SHIPWAY__DATA__MAX_BYTES"),
        ({"max_file_bytes": 500}, r"data\.source", "more than 500.*SHIPWAY__DATA__MAX_FILE_BYTES"),
        ({"max_columns": 3}, "columns", "there are 4; the limit is 3.*SHIPWAY__DATA__MAX_COLUMNS"),
    ],
)
def test_each_limit_names_its_setting(tmp_path: Path, limit: dict[str, int], field: str, remedy: str) -> None:
    (tmp_path / "good.parquet").write_bytes(file_of(rows(10)))
    here, there = spec(source=f"folder:{tmp_path}"), FolderStore(tmp_path / "objects")
    assert read_window(there, here, T0, END, DataSettings(folders=str(tmp_path))).num_rows == 10
    with pytest.raises(InvalidField, match=f"{field}: .*{remedy}"):
        read_window(there, here, T0, END, DataSettings(folders=str(tmp_path), **limit))


def test_rows_and_bytes_are_counted_over_all_files(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for number in range(3):
        store.put(f"d/{number}.parquet", file_of(rows(10)))
    assert read_window(store, spec(), T0, END, DataSettings(max_rows=30)).num_rows == 30
    with pytest.raises(InvalidField, match="more than 29 rows"):
        read_window(store, spec(), T0, END, DataSettings(max_rows=29))
    with pytest.raises(InvalidField, match="decoded"):
        read_window(store, spec(), T0, END, DataSettings(max_bytes=700))


def test_a_text_that_stands_once_in_the_file_is_counted_as_often_as_it_is_read(tmp_path: Path) -> None:
    """A group of rows is decoded as a whole; of the next ones no more than a few are."""
    store, group, groups = FolderStore(tmp_path), 10_000, 80
    table = rows(group).set_column(1, "n", pa.repeat("x" * 1000, group))
    store.put("d/bomb.parquet", file_of(table, groups))
    assert (store.size("d/bomb.parquet") or 0) < 600_000
    whole, before = groups * table.nbytes, pa.default_memory_pool().max_memory()
    with pytest.raises(InvalidField, match="bytes, decoded"):
        read_window(store, spec(group * groups), T0, END, DataSettings(max_bytes=20_000_000))
    assert pa.default_memory_pool().max_memory() - before < whole / 3


def test_a_deeply_nested_column_is_refused(tmp_path: Path) -> None:
    store, kind = FolderStore(tmp_path), pa.float64()
    for _ in range(8):
        kind = pa.list_(kind)
    store.put("d/deep.parquet", file_of(rows(1).append_column("deep", pa.nulls(1, kind))))
    with pytest.raises(InvalidField, match=r"deep: its type is nested deeper than 8.*SHIPWAY__DATA__MAX_NESTING"):
        read_window(store, spec(), T0, END, DataSettings())
    assert read_window(store, spec(), T0, END, DataSettings(max_nesting=9)).num_rows == 1


def test_only_folders_that_are_allowed_are_read_whatever_links_say(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "data-of-others"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "rows.parquet").write_bytes(file_of(rows(3)))
    (inside / "away").symlink_to(outside)
    (tmp_path / "here").symlink_to(inside)
    store, allowed = FolderStore(tmp_path / "objects"), DataSettings(folders=f"/nowhere:{inside}")
    for good in (inside, inside / "rows.parquet", tmp_path / "here", outside / ".." / "data"):
        assert read_window(store, spec(source=f"folder:{good}"), T0, END, allowed).num_rows == 3
    for bad in (outside, inside / "away", inside / ".." / "data-of-others", tmp_path, "/etc/passwd", "/no/such/place"):
        with pytest.raises(InvalidField, match=r"data\.source: .* none of the folders.*SHIPWAY__DATA__FOLDERS"):
            newest_time(store, spec(source=f"folder:{bad}"), allowed)
    with pytest.raises(InvalidField, match="there are none"):
        newest_time(store, spec(source=f"folder:{inside}"), DataSettings())
    (inside / "link.parquet").symlink_to(outside / "rows.parquet")
    with pytest.raises(InvalidField, match=r"link\.parquet lies in none"):
        newest_time(store, spec(source=f"folder:{inside}"), allowed)


def test_folders_must_be_absolute() -> None:
    with pytest.raises(ValueError, match="'data' is not an absolute path"):
        DataSettings(folders="/srv:data")


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    """The same harms at every run; what they may not be is a bug, or an outage to be waited out."""
    store, good, rng, refused = FolderStore(tmp_path), file_of(rows(10)), random.Random(5), 0
    for _ in range(120):
        harmed = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            harmed[rng.randrange(len(harmed))] = rng.choice([0, 255, rng.randrange(256)])
        store.put("d/one.parquet", bytes(harmed))
        try:
            newest_time(store, spec(), DataSettings())
            read_window(store, spec(), T0, END, DataSettings())
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
