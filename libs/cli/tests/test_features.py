"""Rows of look-up tables from files and programs: as they are meant, and each that does not fit is named."""

import asyncio
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.cli.features import read_rows
from shipway.client import AsyncShipway, ShipwayError


def test_a_csv_gives_keys_as_they_are_written_and_empty_cells_as_null(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("customer,age,segment,zip,vip\n007,41,NA,01234,true\n8,,,,false\n")
    assert list(read_rows(file, "customer", ["zip"])) == [
        {"customer": "007", "age": 41, "segment": "NA", "zip": "01234", "vip": True},
        {"customer": "8", "age": None, "segment": None, "zip": None, "vip": False},
    ]


def test_parquet_gives_its_own_types(tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer": [7], "age": [41.5]}), tmp_path / "c.parquet")
    assert list(read_rows(tmp_path / "c.parquet", "customer", [])) == [{"customer": 7, "age": 41.5}]


@pytest.mark.parametrize(
    ("name", "text", "key", "problem"),
    [
        ("c.txt", "a\n1\n", "a", r"must be \.csv or \.parquet"),
        ("c.csv", "", "a", "Empty CSV"),
        ("c.csv", "a,b\n1,2\n", "c", "has no column 'c'; it has a, b"),
        ("c.parquet", "no parquet", "a", r"c\.parquet"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, name: str, text: str, key: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ShipwayError, match=problem):
        list(read_rows(tmp_path / name, key, []))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"age": 1}, "row 1: id must be text or a whole number"),
        ({"id": 1.5, "age": 1}, "row 1: id must be text or a whole number"),
        ({"id": "8"}, "row 1: values: has 0"),
        ({"id": "8", "born": pa.scalar(1)}, r"row 1: values\.born: must be text, a number, true, false or null"),
        ({"id": "8", "age": float("inf")}, r"row 1: values\.age: must be a finite number"),
    ],
)
def test_a_row_that_does_not_fit_is_named_before_any_is_published(row: dict[str, Any], problem: str) -> None:
    async def put() -> None:
        async with AsyncShipway() as shipway:  # there is no broker
            await shipway.put_features("people", [{"id": "7", "age": 1}, row], key="id")

    with pytest.raises(ShipwayError, match=problem):
        asyncio.run(put())
