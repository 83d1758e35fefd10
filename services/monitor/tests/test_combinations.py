"""Combinations of values: counted exactly in whatever parts they come and go, compared by value, in bounded space."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor.combinations import ALL, MOST, Combined, added, combined, new, without
from shipway.monitor.packing import pack, unpack

SCHEMA = pa.schema([("feature.a", pa.string()), ("feature.n", pa.float64()), ("feature.b", pa.bool_())])
COLUMNS = SCHEMA.names
VALUES = st.tuples(
    st.sampled_from(["x", "y", "z", None]), st.sampled_from([0.0, 1.0, 2.5, None]), st.sampled_from([True, False, None])
)
ROWS = st.lists(VALUES, max_size=60)
FEW = 7


def table(rows: list[Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], SCHEMA)


def counted(rows: list[Any], most: int = MOST) -> Combined:
    return combined(table(rows), COLUMNS, most)


def told(one: Combined) -> tuple[dict[int, int], int]:
    return dict(zip(one.hashes.tolist(), one.counts.tolist(), strict=True)), one.below


def flat(parts: list[list[Any]]) -> list[Any]:
    return [row for part in parts for row in part]


def known(rows: list[Any]) -> Counter[Any]:
    return Counter(row for row in rows if any(value is not None for value in row))


@given(ROWS, ROWS)
def test_parts_add_up_to_the_whole_and_what_goes_leaves_the_rest(first: list[Any], second: list[Any]) -> None:
    whole = added(counted(first), counted(second))
    assert told(whole) == told(counted(first + second))
    assert told(without(whole, counted(second))) == told(counted(first))
    assert whole.rows == known(first + second).total()


@given(st.lists(ROWS, min_size=1, max_size=5), st.randoms())
def test_of_too_many_the_same_ones_are_kept_and_counted_exactly_in_any_order(parts: list[Any], order: Any) -> None:
    every, kept = told(counted(flat(parts)))[0], Combined()
    for part in order.sample(parts, len(parts)):
        kept = added(kept, counted(part, FEW), FEW)
    found, below = told(kept)
    assert len(found) <= FEW and found == {one: times for one, times in every.items() if one < below}
    gone = told(without(kept, counted(parts[0], FEW)))[0]
    rest = told(counted(flat(parts[1:])))[0]
    assert gone == {one: times for one, times in rest.items() if one < min(below, counted(parts[0], FEW).below)}


@given(ROWS, st.lists(ROWS, max_size=4))
def test_what_is_new_is_what_no_day_before_had(day: list[Any], before: list[Any]) -> None:
    seen = known(flat(before))
    expected = sum(times for row, times in known(day).items() if row not in seen)
    assert new(counted(day), [counted(one) for one in before]) == (expected, known(day).total())


def test_values_compare_whatever_their_codes_and_a_missing_value_is_one() -> None:
    rows = [("x", 0.0, True), ("y", -0.0, None), ("x", float("nan"), False)]
    same = [("y", 0.0, None), ("x", None, False), ("x", 0.0, True)]
    assert new(counted(same), [counted(rows)]) == (0, 3)
    assert new(counted([("y", 0.0, True)]), [counted(rows)]) == (1, 1)
    # The columns have their places: x and y are not y and x.
    ab = pa.table({"a": ["x"], "b": ["y"]})
    assert new(combined(ab, ["a", "b"]), [combined(ab, ["b", "a"])]) == (1, 1)


def test_a_column_that_a_version_lacks_is_missing_and_rows_without_any_do_not_count() -> None:
    lacks = table([("x", None, None), (None, None, None)]).drop_columns(["feature.b"])
    assert told(combined(lacks, COLUMNS)) == told(counted([("x", None, None)]))
    assert told(combined(lacks.select([]), COLUMNS)) == ({}, ALL)
    assert told(counted([])) == ({}, ALL)


def test_a_day_of_a_million_combinations_takes_no_more_room_and_its_share_of_new_ones_is_known() -> None:
    def of(numbers: Any) -> Combined:
        return combined(pa.table({"n": numbers, "m": np.ones(len(numbers))}), ["n", "m"])

    before, day = of(np.arange(1_000_000.0)), of(np.arange(300_000.0, 1_300_000.0))
    assert len(before.hashes) == len(day.hashes) == MOST and len(pack(day)) < 250_000
    times, rows = new(day, [before])
    assert 15_000 < rows <= MOST and abs(times / rows - 0.3) < 0.02
    assert told(unpack(pack(day), Combined)) == told(day)
    assert told(unpack(pack(Combined()), Combined)) == ({}, ALL)
