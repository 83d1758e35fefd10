"""A year of real flights under watch: ``make watched`` (``--write`` renews docs/monitoring.md).

Versions are trained on 75 days each, and what follows is judged by the rule of the example's model file. Quiet windows
are made of days that a version was trained on, drawn anew as whole days, as flights of a day share its weather; breaks
are planted in such days; and the days that really came are judged as they were.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shipway.bundle.features import encode_table, encode_target, learn_signature
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec, parse_toml
from shipway.monitor.bins import Bins, Matrix, cells_of, make_bins
from shipway.monitor.drift import Drift, alarmed, judge
from shipway.monitor.judgement import rule_of

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "flights"
PAGE = ROOT / "docs" / "monitoring.md"
BEGIN, END = "<!-- watched: made by `make watched WATCHED=--write` -->\n", "<!-- end of watched -->\n"
Change = Callable[["Watched", Matrix, int], None]
"""Breaks a day's rows, the so-and-so-many-th since it began."""
TRAINED_DAYS, REFERENCE_ROWS = 75, 5000
WEEKS = 4  # that a version is watched
QUIET = 23  # windows a version: more than 200 of nine versions
UNTIL = [date(2013, month, 17) for month in range(3, 12)]


@dataclass(frozen=True)
class Watched:
    """A version: how it is counted, what it answers, and the rows of the days that it was trained on."""

    until: date
    signature: Signature
    bins: Bins
    answer: Callable[[Matrix], Matrix]
    days: list[Matrix]


def main() -> None:
    """Measures, and says what it found."""
    parser = argparse.ArgumentParser(prog="make watched", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew docs/monitoring.md")
    options = parser.parse_args()
    spec = parse_toml((EXAMPLE / "flights.toml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        flights = read_flights(Path(folder))
    lines = list(report(spec, flights, UNTIL, QUIET))
    print("\n".join(lines))
    if options.write:
        page = PAGE.read_text()
        before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
        PAGE.write_text(before + "\n".join(lines) + "\n" + after)


def read_flights(folder: Path) -> pa.Table:
    """The year, made by the example's recipe."""
    found = importlib.util.spec_from_file_location("flights_recipe", EXAMPLE / "make_data.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    module.build(folder)
    return pq.read_table(folder)


def report(spec: ModelSpec, flights: pa.Table, until: Iterable[date], quiet: int) -> Iterator[str]:
    """The page's lines."""
    versions = [train(spec, flights, day) for day in until]
    weekly = int(spec.monitoring.drift_window / timedelta(days=1))
    rng = np.random.default_rng(7)
    singles, alarms, as_if, windows = 0, 0, 0, 0
    for version in versions:
        drawn = [resampled(version, weekly, rng) for _ in range(quiet)]
        states = judged(spec, version, drawn)
        windows += quiet
        singles += sum(state == "drift" for found in states.values() for state in found)
        alarms += sum(first_alarm(spec, found) is not None for found in states.values())
        alone = judged(spec, version, [[np.concatenate(window)] for window in drawn])
        as_if += sum(first_alarm(spec, found) is not None for found in alone.values())
    months = windows * weekly / 30
    columns = len(versions[0].bins.features) + 1
    yield f"{windows} quiet windows of {weekly} days, {columns} columns, {len(versions)} versions: {singles} times a"
    a_month = f"{alarms / months:.2f} a model-month"
    yield f"column drifted in a window, and {alarms} became alarms: {a_month}. Were each flight"
    yield f"taken for one of its own, and not for one of its day, {as_if} columns would have alarmed."
    yield ""
    yield "| planted | found by | in versions | flights until the alarm, median (most) |"
    yield "|---|---|---|---|"
    for name, column, change in PLANTED:
        took = [flights_until(spec, version, column, change, weekly, rng) for version in versions]
        known = sorted(t for t in took if t is not None)
        until_found = f"{known[len(known) // 2]:,} ({known[-1]:,})" if known else "not found"
        yield f"| {name} | `{column}` | {len(known)} of {len(took)} | {until_found} |"
    yield ""
    came: Counter[str] = Counter()
    for version in versions:
        days = [rows_of(version.signature, flights, day) for day in days_from(version.until, weekly * WEEKS)]
        weeks = [days[i : i + weekly] for i in range(0, len(days), weekly)]
        states = judged(spec, version, [week for week in weeks if all(len(day) for day in week)])
        came.update(name for name, found in states.items() if first_alarm(spec, found) is not None)
    said = ", ".join(f"`{name}` {times}" for name, times in came.most_common()) or "none"
    yield f"Of the {WEEKS} weeks that really followed each of the {len(versions)} versions, alarms by column: {said}."
    yield "Nobody planted those: flights are later in summer than in spring, and storms last for days."


def train(spec: ModelSpec, flights: pa.Table, until: date) -> Watched:
    """A version of the days before, quickly."""
    days = [of_day(flights, day) for day in days_from(until - timedelta(days=TRAINED_DAYS), TRAINED_DAYS)]
    table = pa.concat_tables(days)
    signature = learn_signature(spec, table)
    rows, (labels, known) = encode_table(signature, table), encode_target(signature, table)
    settings = {"objective": "binary", "learning_rate": 0.05, "min_data_in_leaf": 200, "num_threads": 1, "verbose": -1}
    model = lightgbm.train(settings, lightgbm.Dataset(rows[known], labels[known].ravel()), 60)
    pick = np.random.default_rng(1).choice(len(rows), min(REFERENCE_ROWS, len(rows)), replace=False)

    def answer(matrix: Matrix) -> Matrix:
        return np.asarray(model.predict(matrix))[:, None]

    bins = make_bins(signature, rows[pick], answer(rows[pick]))
    return Watched(until, signature, bins, answer, [encode_table(signature, day) for day in days])


def days_from(begin: date, count: int) -> list[date]:
    """So many days."""
    return [begin + timedelta(days=n) for n in range(count)]


def of_day(flights: pa.Table, day: date) -> pa.Table:
    """A UTC day's flights."""
    at = flights["scheduled_departure"].to_numpy().astype("datetime64[D]")
    return flights.filter(pa.array(at == np.datetime64(day)))


def rows_of(signature: Signature, flights: pa.Table, day: date) -> Matrix:
    """A day's flights as the model is asked."""
    return encode_table(signature, of_day(flights, day))


def resampled(version: Watched, days: int, rng: np.random.Generator) -> list[Matrix]:
    """Days that the version was trained on, drawn anew."""
    return [version.days[i] for i in rng.integers(0, len(version.days), days)]


def judged(spec: ModelSpec, version: Watched, windows: Iterable[list[Matrix]]) -> dict[str, list[str]]:
    """The states of each column in windows of days."""
    states: dict[str, list[str]] = {}
    for window in windows:
        for one in judge_window(spec, version, window):
            states.setdefault(one.column, []).append(one.state)
    return states


def judge_window(spec: ModelSpec, version: Watched, window: list[Matrix]) -> list[Drift]:
    """A window of days, as the monitor judges it."""
    bins = version.bins
    cells = [np.concatenate([cells_of(c, day[:, i]) for i, c in enumerate(bins.features)]) for day in window]
    scores = [cells_of(bins.score, version.answer(day)[:, 0]) for day in window]
    by_day = list(zip(cells, scores, strict=True))
    return judge(bins, np.sum(cells, axis=0), np.sum(scores, axis=0), rule_of(spec), days=by_day)


def first_alarm(spec: ModelSpec, states: Sequence[str]) -> int | None:
    """After how many windows a column's alarm is raised."""
    rule = rule_of(spec)
    return next((n for n in range(1, len(states) + 1) if alarmed(states[:n], rule)), None)


def flights_until(
    spec: ModelSpec,
    version: Watched,
    column: str,
    change: Change,
    days: int,
    rng: np.random.Generator,
) -> int | None:
    """How many flights pass between a planted break and its alarm; None: it is not found in twelve windows."""
    states, passed = [], 0
    for window in range(12):
        broken = [day.copy() for day in resampled(version, days, rng)]
        for n, day in enumerate(broken):
            change(version, day, window * days + n)
        passed += sum(map(len, broken))
        states.append(next(one.state for one in judge_window(spec, version, broken) if one.column == column))
        if first_alarm(spec, states) is not None:
            return passed
    return None


def _at(version: Watched, name: str) -> int:
    return next(i for i, feature in enumerate(version.signature.features) if feature.name == name)


def _unit(version: Watched, rows: Matrix, _day: int) -> None:
    rows[:, _at(version, "distance_miles")] *= 1.609


def _dropped(version: Watched, rows: Matrix, _day: int) -> None:
    rows[:, _at(version, "carrier_delay_2h")] = np.nan


def _shuffled(version: Watched, rows: Matrix, _day: int) -> None:
    place = _at(version, "carrier")
    count = len(version.signature.features[place].categories)
    rows[:, place] = np.random.default_rng(3).permutation(count)[rows[:, place].astype(int)]


def _decay(version: Watched, rows: Matrix, day: int) -> None:
    """A sensor that reads a fiftieth less each day."""
    rows[:, _at(version, "departures_in_hour")] *= 0.98**day


PLANTED: list[tuple[str, str, Change]] = [
    ("miles become kilometres", "distance_miles", _unit),
    ("a column is dropped", "carrier_delay_2h", _dropped),
    ("codes of a category are shuffled", "carrier", _shuffled),
    ("a number reads 2 % less each day", "departures_in_hour", _decay),
]

if __name__ == "__main__":
    main()
