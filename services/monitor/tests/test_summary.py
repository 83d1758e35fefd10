"""Summaries of predictions: batches add up to the whole in any order, and come back from bytes."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.contract.errors import Permanent
from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.signature import Feature, Signature
from shipway.monitor.bins import Bins, hashes, make_bins
from shipway.monitor.packing import pack, unpack
from shipway.monitor.summary import Key, Summary, summarise

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SIGNATURE = Signature(
    features=[Feature(name="n", type="number"), Feature(name="c", type="category", categories=["a", "b"])],
    output="binary",
    target="y",
    classes=["false", "true"],
)
REFERENCE = np.column_stack([np.arange(100.0), np.arange(100) % 2])
BINS = make_bins(SIGNATURE, REFERENCE, REFERENCE[:, :1] / 100)
numbers = st.one_of(st.floats(-200, 200), st.just(math.nan))


def record(
    seconds: int = 0,
    version: int | None = 1,
    outcome: Any = "answered",
    features: list[float] | None = None,
    score: float | None = 0.5,
    latency_us: int = 100,
) -> PredictionRecord:
    scores = [score] if score is not None and outcome == "answered" else None
    at = T0 + timedelta(seconds=seconds)
    return PredictionRecord(
        "p", at, "m", version, 1, "i", "champion", outcome, None, latency_us, None, None, features, scores
    )


def table(records: list[PredictionRecord]) -> pa.Table:
    return decode_batch(encode_batch(records, "s", "i").value)


def bins_of(_model: str, version: int) -> Bins | None:
    return BINS if version == 1 else None


records = st.builds(
    record,
    seconds=st.integers(0, 180),
    version=st.sampled_from([None, 1, 2]),
    outcome=st.sampled_from(["answered", "failed", "refused"]),
    features=st.one_of(st.none(), st.tuples(numbers, st.sampled_from([0.0, 1.0, -1.0, math.nan])).map(list)),
    score=st.one_of(st.none(), st.floats(0, 1)),
    latency_us=st.integers(0, 10**9),
)


def totals(found: dict[Key, Summary]) -> dict[Key, dict[str, Any]]:
    """As plain values, without what only the most frequent inputs are kept of."""
    return {
        key: {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in vars(s).items()} for key, s in found.items()
    }


@settings(max_examples=60)
@given(st.lists(records, min_size=1, max_size=30), st.randoms(use_true_random=False), st.integers(1, 7))
def test_batches_in_any_order_add_up_to_the_whole(made: list[PredictionRecord], rng: Any, size: int) -> None:
    whole = summarise(table(made), bins_of)
    shuffled = list(made)
    rng.shuffle(shuffled)
    added: dict[Key, Summary] = {}
    for begin in range(0, len(shuffled), size):
        for key, part in summarise(table(shuffled[begin : begin + size]), bins_of).items():
            added.setdefault(key, Summary()).add(unpack(pack(part), Summary))
    assert totals(added) == totals(whole)
    assert sum(s.answered + s.failed + s.refused for s in whole.values()) == len(made)
    for (_, version, _), summary in whole.items():
        assert summary.latencies.sum() == summary.answered
        if version != 1:
            assert summary.binned == summary.rows == 0
        if summary.rows:
            assert summary.cells.sum() == summary.rows * len(BINS.features)


def test_values_fall_into_their_cells() -> None:
    rows = [[5.0, 0.0], [5.0, 1.0], [math.nan, -1.0], [1e9, math.nan]]
    (found,) = summarise(table([record(features=row, score=0.9) for row in rows]), bins_of).values()
    number, category = np.split(found.cells, [len(BINS.features[0].reference)])
    assert (number[0], number[1], number[2], number[-1]) == (1, 0, 2, 1)
    assert category.tolist() == [1, 1, 1, 1], "missing, unknown, a, b"
    assert found.answers.tolist() == [0, 4]


def test_a_quantile_of_latency_is_known_to_a_fifth() -> None:
    rng = np.random.default_rng(1)
    latencies = rng.lognormal(7, 1, 5000).astype(int)
    (found,) = summarise(table([record(latency_us=int(us)) for us in latencies]), bins_of).values()
    for share in (0.5, 0.9, 0.99):
        assert found.latency_us(share) == pytest.approx(float(np.quantile(latencies, share)), rel=0.25)
    assert Summary().latency_us(0.99) is None


def test_the_same_input_is_counted_over_many_small_batches() -> None:
    total = Summary()
    rng = np.random.default_rng(2)
    for _ in range(200):
        rows = [[float(rng.normal()), 1.0] for _ in range(5)] + [[7.0, 0.0]]
        for part in summarise(table([record(features=row) for row in rows]), bins_of).values():
            total.add(part)
    assert max(total.repeats.values()) == 200
    assert len(total.repeats) <= 32


def test_equal_rows_hash_alike_and_others_do_not() -> None:
    rows = np.array([[0.0, math.nan], [-0.0, -math.nan], [0.0, 1.0], [1.0, 0.0]])
    found: Callable[[int], int] = lambda i: int(hashes(rows)[i])  # noqa: E731
    assert found(0) == found(1) and len({found(0), found(2), found(3)}) == 3
    many = np.random.default_rng(3).integers(0, 50, (20_000, 3)).astype(float)
    assert len(np.unique(hashes(many))) == len(np.unique(many, axis=0))


def test_a_batch_of_endless_versions_is_refused() -> None:
    with pytest.raises(Permanent, match="5001 models, versions and minutes"):
        summarise(table([record(version=n + 1) for n in range(5001)]), bins_of)


def test_a_batch_of_another_shape_is_counted_without_its_features() -> None:
    odd = [record(features=[1.0], score=0.5), record(features=[1.0, 2.0, 3.0], score=0.5)]
    (found,) = summarise(table(odd), bins_of).values()
    assert (found.answered, found.binned, found.rows) == (2, 2, 0)
