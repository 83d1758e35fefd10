"""What monitoring costs on one core, and how often it is wrong: ``.venv/bin/python bench/monitoring.py``.

The cost: batches as predictors send them (2,000 rows of 20 features, 4 of them categories), summarised by version and
minute, packed, and added up, without the database. The alarms: 200 quiet windows with sizes that vary, and windows in
which one column breaks, by the default rule of the model file.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.signature import Feature, Signature
from shipway.monitor.bins import Bins, Matrix, cells_of, make_bins
from shipway.monitor.drift import Rule, alarmed, judge
from shipway.monitor.packing import pack, unpack
from shipway.monitor.summary import Summary, summarise

NUMBERS, CATEGORIES = 16, 4
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Measures, and says what it found."""
    parser = argparse.ArgumentParser(prog="bench/monitoring.py", description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--rows", type=int, default=2000, help="of a batch")
    parser.add_argument("--windows", type=int, default=200)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    features = [Feature(name=f"x{i}", type="number") for i in range(NUMBERS)]
    names = [f"c{i}" for i in range(50)]
    features += [Feature(name=f"k{i}", type="category", categories=names) for i in range(CATEGORIES)]
    signature = Signature(features=features, output="binary", target="y", classes=["false", "true"])
    reference = draw(rng, 5000)
    bins = make_bins(signature, reference, score(reference), ["x0", *(f"k{i}" for i in range(CATEGORIES))])
    _cost(bins, rng, options.batches, options.rows)
    _alarms(bins, rng, options.windows)


def draw(rng: np.random.Generator, rows: int) -> Matrix:
    """Rows as they are usual; a tenth of one column is missing."""
    numbers = rng.normal(size=(rows, NUMBERS))
    numbers[:, 1] = rng.lognormal(6, 1, rows)
    numbers[rng.random(rows) < 0.1, 2] = np.nan
    codes = np.minimum(rng.geometric(0.1, (rows, CATEGORIES)) - 1, 49)
    return np.column_stack([numbers, codes.astype(float)])


def score(rows: Matrix) -> Matrix:
    """The answers to them."""
    return (1 / (1 + np.exp(-rows[:, 0])))[:, None]


def _cost(bins: Bins, rng: np.random.Generator, batches: int, size: int) -> None:
    made = []
    for n in range(8):
        rows = draw(rng, size)
        scores = score(rows)
        at = T0 + timedelta(seconds=n)
        records = [
            PredictionRecord(
                f"{n}-{i}", at, "m", 1, 1, "i", "champion", "answered", None, 120, None, None, row, scores[i].tolist()
            )
            for i, row in enumerate(rows.tolist())
        ]
        made.append(decode_batch(encode_batch(records, "bench", "bench").value))
    total = Summary()
    tracemalloc.start()
    for batch in made:
        _add(total, bins, batch)
    before, _ = tracemalloc.get_traced_memory()
    for batch in made * 10:
        _add(total, bins, batch)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    begun = time.process_time()
    for n in range(batches):
        _add(total, bins, made[n % len(made)])
    took_s = time.process_time() - begun
    parts = sum(len(cut.names) for cut in bins.slicings)
    print(f"{batches} batches of {size} predictions of {len(bins.features)} features, {parts} slices, on one core:")
    print(f"  {batches * size / took_s:,.0f} predictions/s; a window of a version is {len(pack(total)):,} bytes")
    print(f"  {(after - before) / 1000:+.1f} kB of memory after 80 batches more")


def _add(total: Summary, bins: Bins, batch: Any) -> None:
    for part in summarise(batch, lambda _model, _version: bins).values():
        total.add(unpack(pack(part), Summary))


def _alarms(bins: Bins, rng: np.random.Generator, count: int) -> None:
    rule = Rule()
    states: dict[str, list[str]] = {}
    for _ in range(count):
        for one in _judged(bins, draw(rng, int(rng.integers(500, 20_000))), rule):
            states.setdefault(one[0], []).append(one[1])
    singles = sum(state == "drift" for found in states.values() for state in found)
    alarms = sum(alarmed(found[: n + 1], rule) for found in states.values() for n in range(count))
    print(f"{count} quiet windows of {len(states)} columns: {singles} drifted by themselves, {alarms} alarms")
    for name, change in (("unit", _unit), ("dropped", _dropped), ("shuffled", _shuffled), ("decay", _decay)):
        print(f"  {name}: found in {_found(bins, rng, rule, change)} of 50 windows of 500 predictions")


def _found(bins: Bins, rng: np.random.Generator, rule: Rule, change: Callable[[Matrix], None]) -> int:
    found = 0
    for _ in range(50):
        rows = draw(rng, 500)
        change(rows)
        found += any(state == "drift" for _, state in _judged(bins, rows, rule))
    return found


def _judged(bins: Bins, rows: Matrix, rule: Rule) -> list[tuple[str, str]]:
    cells = np.concatenate([cells_of(column, rows[:, i]) for i, column in enumerate(bins.features)])
    return [(d.column, d.state) for d in judge(bins, cells, cells_of(bins.score, score(rows)[:, 0]), rule)]


def _unit(rows: Matrix) -> None:
    rows[:, 1] *= 1.609


def _dropped(rows: Matrix) -> None:
    rows[:, 5] = np.nan


def _shuffled(rows: Matrix) -> None:
    rows[:, NUMBERS] = (rows[:, NUMBERS] + 7) % 50


def _decay(rows: Matrix) -> None:
    rows[:, 3] = 0.6 * rows[:, 3] + 0.4


if __name__ == "__main__":
    main()
