"""Which days the reference's rows are of: counted in order, kept beside the rows, passed over where unknown."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from shipway.bundle.golden import decode_golden, encode_golden
from shipway.bundle.referencedays import days_of, days_of_sample, read_days
from shipway.contract.errors import Permanent
from shipway.contract.signature import Feature, Signature

T0 = datetime(2026, 1, 1, 22, tzinfo=UTC)
SIGNATURE = Signature(features=[Feature(name="n", type="number")], output="regression", target="y")


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("ns", "Asia/Seoul"), pa.timestamp("s")])
def test_days_are_of_utc_whatever_the_column(kind: pa.DataType) -> None:
    hours = pa.array([T0 + n * timedelta(hours=1) for n in range(5)], pa.timestamp("us", "UTC")).cast(kind)
    assert days_of(pa.chunked_array([hours])) == (2, 3)


def test_days_of_a_date_column_and_of_times_that_say_nothing() -> None:
    assert days_of(pa.chunked_array([pa.array([date(2026, 1, 1)] * 3 + [date(2026, 2, 1)])])) == (3, 1)
    assert days_of(pa.chunked_array([pa.array([T0, None, T0])])) == ()
    assert days_of(pa.chunked_array([pa.array([T0, T0 - timedelta(days=1)])])) == ()
    assert days_of(pa.chunked_array([pa.array(["monday"])])) == ()


def test_a_sample_has_the_days_of_its_rows() -> None:
    assert days_of_sample((3, 2, 4), [0, 2, 5, 6, 8]) == (2, 3)
    assert days_of_sample((), [0, 1]) == ()


def test_days_go_beside_the_rows_and_releases_before_read_the_rows() -> None:
    data = encode_golden(np.ones((5, 1)), np.ones((5, 1)), (2, 3))
    assert read_days(data, 5) == (2, 3)
    assert decode_golden(data, SIGNATURE, 5)[0].shape == (5, 1)
    assert read_days(encode_golden(np.ones((5, 1)), np.ones((5, 1))), 5) == ()


@pytest.mark.parametrize("days", [(2, 2), (6, -1), (5, 0)])
def test_days_of_other_rows_are_refused(days: tuple[int, ...]) -> None:
    with pytest.raises(Permanent, match="its days"):
        read_days(encode_golden(np.ones((5, 1)), np.ones((5, 1)), days), 5)
