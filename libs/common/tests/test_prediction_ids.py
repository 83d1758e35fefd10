"""Ids of predictions: by the standard, in the order of time, and different."""

import time
import uuid

import pytest

from shipway.runtime.prediction_ids import as_text, new_ids


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_ids_are_of_version_7_and_carry_the_time(count: int) -> None:
    before = time.time_ns() // 1_000_000
    joined = new_ids(count)
    after = time.time_ns() // 1_000_000
    ids = [uuid.UUID(text) for text in as_text(joined)]
    assert len(set(ids)) == count
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert all(before <= one.int >> 80 <= after for one in ids)


def test_later_ids_are_greater_as_text() -> None:
    first = new_ids(1).hex()
    begun = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 <= begun:
        pass
    assert new_ids(1).hex() > first
