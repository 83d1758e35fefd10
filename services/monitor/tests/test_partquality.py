"""Parts of the traffic by their labels: hard ones stay unsaid, one that falls behind is named."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from shipway.contract.signature import Feature, Signature
from shipway.monitor.bins import Matrix, make_bins
from shipway.monitor.judgement import Finding
from shipway.monitor.parquet import values
from shipway.monitor.parting import Parting
from shipway.monitor.partquality import by_part, gap
from shipway.monitor.quality import Quality
from shipway.monitor.slices import parts_of

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PARTS = {f"carrier=c{i}": 0.6 + 0.02 * i for i in range(12)}
Labelled = dict[str, dict[datetime, Quality]]


def week(rng: np.random.Generator, changes: dict[str, float] | None = None, hours: int = 168) -> Labelled:
    """Labelled answers of so many hours by part, each of its own accuracy, in good hours and in bad ones."""
    found: Labelled = {"": {}}
    for n in range(hours):
        at, luck, whole = T0 + n * HOUR, rng.normal(scale=0.05), Quality()
        for part, accuracy in PARTS.items():
            labelled = int(rng.integers(2, 12))
            p = np.clip(accuracy + luck + (changes or {}).get(part, 0.0), 0, 1)
            sums = Quality(labelled=labelled, correct=int(rng.binomial(labelled, p)))
            whole.add(sums)
            found.setdefault(part, {})[at] = sums
        found[""][at] = whole
    return found


def judged(now: Labelled, before: Labelled, min_labels: int = 200) -> list[Finding]:
    return by_part(1, now, before, "binary", {"accuracy": 0.07}, min_labels, 0.01)


def test_hard_parts_and_bad_hours_are_nothing_new() -> None:
    rng = np.random.default_rng(1)
    before = week(rng)
    found = [one for _ in range(25) for one in judged(week(rng), before)]
    assert len(found) == 25 * len(PARTS)
    assert [one.subject for one in found if one.alarm] == []


def test_a_part_that_falls_behind_is_named_with_its_figures() -> None:
    rng = np.random.default_rng(2)
    (one,) = [found for found in judged(week(rng, {"carrier=c3": -0.25}), week(rng)) if found.alarm]
    assert (one.kind, one.subject, one.state) == ("part quality", "accuracy where carrier=c3", "alarm")
    assert one.figure is not None and one.limit is not None and one.p is not None
    assert one.figure < 0.5 < one.limit and one.p < 1e-6
    assert "elsewhere; before it was 0.6" in one.reason


def test_a_bad_week_of_all_is_no_part_s_and_too_few_labels_say_nothing() -> None:
    rng = np.random.default_rng(3)
    everywhere = week(rng, dict.fromkeys(PARTS, -0.2))
    assert not [one for one in judged(everywhere, week(rng)) if one.alarm]
    assert judged(week(rng, {"carrier=c3": -0.25}, hours=6), week(rng), min_labels=30) == []
    assert judged(week(rng, {"carrier=c3": -0.25}), week(rng), min_labels=5000) == []
    assert judged(week(rng), {}) == [] and judged({}, {}) == []


def test_a_gap_is_of_a_part_beside_the_rest_without_it() -> None:
    part = {T0 + n * HOUR: Quality(labelled=10, log_loss_sum=6.0) for n in range(10)}
    whole = {T0 + n * HOUR: Quality(labelled=40, log_loss_sum=12.0) for n in range(10)}
    found = gap("log_loss", part, whole, 30)
    assert found is not None
    assert (found.figure, found.rest) == pytest.approx((0.6, 0.2))
    assert (found.hours, found.labelled) == (10, 100) and found.variance == pytest.approx(0.0)


def test_a_row_of_the_history_is_in_the_parts_that_its_prediction_was_counted_in() -> None:
    rng = np.random.default_rng(4)
    features = [
        Feature(name="x", type="number"),
        Feature(name="carrier", type="category", categories=[f"c{i}" for i in range(40)]),
        Feature(name="flag", type="boolean"),
    ]
    signature = Signature(features=features, output="binary", target="y", classes=["false", "true"])

    def draw(rows: int) -> Matrix:
        x = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
        return np.column_stack([x, np.minimum(rng.geometric(0.1, rows) - 1, 39), rng.random(rows) < 0.5]).astype(float)

    reference, rows = draw(2000), draw(300)
    slicings = make_bins(signature, reference, rng.random((2000, 1)), ["x", "carrier", "flag"]).slicings
    columns = {f.name: values(f, pa.array(rows[:, i])).to_pylist() for i, f in enumerate(features)}
    parting = Parting(signature, slicings)
    for n in range(len(rows)):
        said = parting.of({name: column[n] for name, column in columns.items()})
        expected = {f"{cut.name}={cut.names[int(parts_of(cut, rows[n : n + 1, cut.place])[0])]}" for cut in slicings}
        assert set(said) == expected
    assert parting.of(dict.fromkeys(columns)) == ()
