"""A year of real flights under watch: ``make watched`` (``--write`` renews docs/monitoring.md).

Versions are trained on 75 days each, and what follows is judged by the rule of the example's model file. Quiet windows
are made of days that a version was trained on, drawn anew as whole days, as flights of a day share its weather; breaks
are planted in such days. Those that happened are known by what the model is never asked (see breaks).
"""

import argparse
import importlib.util
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from breaks import PLANTED, Change, Known, schedule_changes, storms
from watching import Subject, Version, Watch, days_from, rows_of, train

from shipway.contract.spec import ModelSpec, parse_toml
from shipway.monitor.bins import Matrix

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "flights"
PAGE = ROOT / "docs" / "monitoring.md"
BEGIN, END = "<!-- watched: made by `make watched WATCHED=--write` -->\n", "<!-- end of watched -->\n"
QUIET = 67  # windows a version: 603 of nine, which are 20 months
UNTIL = [date(2013, month, 17) for month in range(3, 12)]
BEFORE = 7  # days that a version is watched before the break that it is to find
STILL_FOUND = {"storm": 2, "schedule": 14}  # days from its last on


def main() -> None:
    """Measures, and says what it found."""
    parser = argparse.ArgumentParser(prog="make watched", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew docs/monitoring.md")
    options = parser.parse_args()
    spec = parse_toml((EXAMPLE / "flights.toml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        source, flights = read_flights(Path(folder))
    known = [*storms(source), *schedule_changes(source)]
    lines = [*quiet_and_planted(spec, flights, known), "", *happened(spec, flights, known)]
    print("\n".join(lines))
    if options.write:
        page = PAGE.read_text()
        before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
        PAGE.write_text(before + "\n".join(lines) + "\n" + after)


def read_flights(folder: Path) -> tuple[Any, pa.Table]:
    """The year as it is in the source, and as the example's recipe makes it."""
    found = importlib.util.spec_from_file_location("flights_recipe", EXAMPLE / "make_data.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    module.build(folder)
    return module.read_source().flights, pq.read_table(folder)


def quiet_and_planted(spec: ModelSpec, flights: pa.Table, known: Sequence[Known]) -> Iterator[str]:
    """How often nothing is an alarm, and how soon what is planted is one."""
    versions = [train(spec, flights, day) for day in UNTIL]
    rng = np.random.default_rng(7)
    calm = [calm_days(version, known) for version in versions]
    singles, alarms, as_if = 0, 0, 0
    for version, days in zip(versions, calm, strict=True):
        watch, alone = Watch(spec, version), Watch(spec, version, alone=True)
        for _ in range(QUIET):
            window = drawn(days, spec, rng)
            alarms += len(watch.see(window))
            as_if += len(alone.see(window))
        singles += watch.singles
    windows, days_each = QUIET * len(versions), days_of(spec)
    months = windows * days_each / 30
    columns = len(versions[0].bins.features) + 1
    of_days = f"{days_each} day{'s' * (days_each > 1)}"
    yield f"{windows} quiet windows of {of_days}, {columns} columns, {len(versions)} versions: {singles} times a column"
    yield f"drifted or had gaps in a window, and {alarms} became alarms: {alarms / months:.2f} a"
    yield f"model-month. Were each flight taken for one of its own, and not for one of its day, it would be {as_if}."
    yield ""
    yield "| planted | found by | in versions | flights until the alarm, median (most) |"
    yield "|---|---|---|---|"
    for name, column, change in PLANTED:
        pairs = zip(versions, calm, strict=True)
        took = [flights_until(spec, version, days, column, change, rng) for version, days in pairs]
        ended = sorted(t for t in took if t is not None)
        until_found = f"{ended[len(ended) // 2]:,} ({ended[-1]:,})" if ended else "not found"
        yield f"| {name} | `{column}` | {len(ended)} of {len(took)} | {until_found} |"


def calm_days(version: Version, known: Sequence[Known]) -> list[Matrix]:
    """The days that a version was trained on, without storms."""
    stormy = {day for one in known if one.kind == "storm" for day in days_of_break(one)}
    return [rows for day, rows in version.days.items() if day not in stormy]


def days_of_break(one: Known) -> list[date]:
    """The UTC days that a day of New York reaches into."""
    return days_from(one.begin, (one.end - one.begin).days + 2)


def days_of(spec: ModelSpec) -> int:
    """Of a drift window."""
    return int(spec.monitoring.drift_window / timedelta(days=1))


def drawn(days: Sequence[Matrix], spec: ModelSpec, rng: np.random.Generator) -> list[Matrix]:
    """A window of days, drawn anew."""
    return [days[i].copy() for i in rng.integers(0, len(days), days_of(spec))]


def flights_until(
    spec: ModelSpec, version: Version, days: Sequence[Matrix], column: str, change: Change, rng: np.random.Generator
) -> int | None:
    """How many flights pass between a planted break and its alarm; None: it is not found in twelve weeks."""
    watch, passed, day = Watch(spec, version), 0, 0
    while day < 84:
        window = drawn(days, spec, rng)
        for rows in window:
            change(version, rows, day)
            passed, day = passed + len(rows), day + 1
        if any(subject == column for _, subject in watch.see(window)):
            return passed
    return None


def happened(spec: ModelSpec, flights: pa.Table, known: Sequence[Known]) -> Iterator[str]:
    """Which of the breaks that happened were found, when and by what; and what else was."""
    marked = {day for one in known for day in watched_days(one)}
    others: Counter[str] = Counter()
    quiet = 0
    yield "| happened | found on | after flights | by |"
    yield "|---|---|---|---|"
    for one in known:
        version, passed, found = train(spec, flights, one.begin - timedelta(days=BEFORE)), 0, ""
        watch, most = Watch(spec, version), (0.0, "")
        mine = set(watched_days(one)) - {day for other in known if other is not one for day in storm_of(other)}
        for day in days_from(version.until, BEFORE + len(watched_days(one))):
            rows = rows_of(version, flights, day)
            begun = watch.see([rows])
            passed += len(rows) if day >= one.begin else 0
            if day in mine and not found:
                mattered = {key for key in begun if one.shows_in(key[1])}
                found = f"{day:%B} {day.day} | {passed:,} | {named(mattered)}" if mattered else ""
                most = max([most, *((share, name) for name, share in watch.moved.items() if one.shows_in(name))])
            if day not in marked:
                quiet += 1
                others.update(subject for _, subject in begun)
        yield f"| {one.name} | {found or f'not found | | at most {most[0]:.0%} of `{most[1]}` lay elsewhere'} |"
    said = ", ".join(f"`{name}` {times}" for name, times in others.most_common()) or "none"
    yield ""
    yield f"On the {quiet} days on which they watched and nothing of this happened {others.total()} alarms began:"
    yield f"{said}."


def storm_of(one: Known) -> list[date]:
    """The days of a storm; a change of the schedule has none."""
    return watched_days(one) if one.kind == "storm" else []


def watched_days(one: Known) -> list[date]:
    """The days on which an alarm counts as this break's."""
    return days_from(one.begin, (one.end - one.begin).days + STILL_FOUND[one.kind])


def named(begun: set[Subject]) -> str:
    """What was found, in words."""
    columns = sorted({column for _, column in begun})
    kinds = {column: sorted(kind for kind, of in begun if of == column) for column in columns}
    return ", ".join(f"`{column}` ({', '.join(kinds[column])})" for column in columns)


if __name__ == "__main__":
    main()
