"""Parts of the traffic: cut by the reference, counted in sums that add up, judged apart."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.rowencoding import UNSEEN
from shipway.contract.signature import Feature, Signature
from shipway.monitor.bins import Bins, Matrix, make_bins
from shipway.monitor.drift import Rule, by_chance, judge_slices
from shipway.monitor.packing import pack, unpack
from shipway.monitor.signals import Limits, of_slices
from shipway.monitor.slices import MOST_VALUES, Sliced, parts_of
from shipway.monitor.summary import Summary, summarise

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CARRIERS = [f"c{i:02}" for i in range(40)]
SIGNATURE = Signature(
    features=[
        Feature(name="x", type="number"),
        Feature(name="carrier", type="category", categories=CARRIERS),
        Feature(name="flag", type="boolean"),
    ],
    output="binary",
    target="y",
    classes=["false", "true"],
)


def draw(seed: int, rows: int) -> tuple[Matrix, Matrix]:
    """Rows of which each third is of the first carrier, and their scores."""
    rng = np.random.default_rng(seed)
    carrier = np.where(rng.random(rows) < 0.33, 0, np.minimum(rng.geometric(0.12, rows), 39))
    found = np.column_stack([rng.normal(size=rows), carrier, rng.random(rows) < 0.5]).astype(float)
    return found, rng.beta(2, 2, size=(rows, 1))


def bins() -> Bins:
    return make_bins(SIGNATURE, *draw(1, 5000), ["carrier", "x", "flag", "gone"])


def summed(rows: Matrix, scores: Matrix, of: Bins, outcome: str = "answered", latency_us: int = 100) -> Summary:
    records = [
        PredictionRecord(
            f"p{i}",
            T0,
            "m",
            1,
            1,
            "i",
            "champion",
            outcome,  # type: ignore[arg-type]
            None,
            latency_us,
            None,
            None,
            row,
            score if outcome == "answered" else None,
        )
        for i, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True))
    ]
    (found,) = summarise(decode_batch(encode_batch(records, "t", "i").value), lambda _model, _version: of).values()
    return found


def test_categories_are_cut_by_value_and_numbers_into_quarters() -> None:
    carrier, x, flag = sorted(bins().slicings, key=lambda cut: {"carrier": 0, "x": 1, "flag": 2}[cut.name])
    assert carrier.names[:2] == ["c00", "c01"] and carrier.names[-2:] == ["other", "missing"]
    assert len(carrier.names) == MOST_VALUES + 2
    assert parts_of(carrier, np.array([0, 39, UNSEEN, 99, np.nan])).tolist() == [0, 20, 20, 20, 21]
    assert len(x.names) == 6 and x.names[0].startswith("below -0.6")
    assert parts_of(x, np.array([-9, 9, np.nan])).tolist() == [0, 3, 5]
    assert flag.names == ["false", "true", "other", "missing"]
    assert {int(cut.rows.sum()) for cut in (carrier, x, flag)} == {5000}


@given(st.lists(st.integers(0, 59), min_size=1, max_size=5, unique=True))
def test_sums_of_parts_add_up_in_any_order_and_over_a_packing(ends: list[int]) -> None:
    of, (rows, scores) = bins(), draw(3, 60)
    whole = summed(rows, scores, of)
    total = Summary()
    for part in reversed(np.split(np.arange(60), sorted(ends))):
        if len(part):
            total.add(unpack(pack(summed(rows[part], scores[part], of)), Summary))
    for name, sliced in whole.slices.items():
        for field in vars(Sliced()):
            assert getattr(total.slices[name], field).tolist() == getattr(sliced, field).tolist()
    assert total.sureness[0] == np.float64(whole.sureness[0]) or abs(total.sureness[0] - whole.sureness[0]) < 1e-9


def test_errors_and_latency_of_one_part_are_found_where_the_whole_hides_them() -> None:
    of, (rows, scores) = bins(), draw(2, 3000)
    window = summed(rows, scores, of)
    second = rows[rows[:, 1] == 1]
    window.add(summed(second, scores[: len(second)], of, outcome="failed"))
    limits = Limits(max_error_share=0.2, latency_us=1000)
    found = {(one.kind, one.subject): one for one in of_slices(window, of.slicings, limits)}
    assert window.failed / (window.failed + window.answered) < 0.2
    assert {key for key, one in found.items() if one.state == "alarm"} == {("errors", "carrier=c01")}
    assert found["errors", "carrier=c01"].figure == 0.5
    assert ("latency", "flag=true") in found


def test_a_score_that_moves_in_one_part_is_found_and_the_others_are_not() -> None:
    of, (rows, scores) = bins(), draw(2, 6000)
    moved = rows[:, 1] == 2
    scores[moved] = scores[moved] ** 3
    found = judge_slices(of, summed(rows, scores, of).slices, Rule())
    assert {one.column for one in found if one.state == "drift"} == {"score where carrier=c02"}
    assert len(found) > 8


@pytest.mark.slow
def test_quiet_parts_are_not_called_drift() -> None:
    of, false = bins(), 0
    for seed in range(100):
        found = judge_slices(of, summed(*draw(seed + 10, 3000), of).slices, Rule())
        false += sum(one.state == "drift" for one in found)
    assert false <= 1


def test_two_small_samples_lie_apart_by_chance_as_far_as_is_said() -> None:
    rng = np.random.default_rng(5)
    found, said = [], []
    for _ in range(300):
        a, b = rng.multinomial(250, [0.1] * 10), rng.multinomial(200, [0.1] * 10)
        found.append(0.5 * np.abs(a / 250 - b / 200).sum())
        said.append(by_chance(a, b))
    assert abs(float(np.mean(found)) - float(np.mean(said))) < 0.005
