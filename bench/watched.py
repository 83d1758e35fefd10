"""A year of real flights under watch: ``make watched`` (``--write`` renews docs/monitoring.md).

Versions are trained on 75 days each, and what follows is judged by the rules of the example's model file. Quiet windows
are made of days that a version was trained on, drawn anew as whole days, as flights of a day share its weather; breaks
are planted in such days. What happened is known by what the model is never asked (see breaks), and looked for in the
year as it went: each version answers for a fortnight, and what labels say of a day is known when the next one is over.
"""

import argparse
import importlib.util
import sys
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from breaks import LESSER, PLANTED, Change, Known, new_in_week, schedule_changes, storms
from watching import (
    CombinationWatch,
    Flown,
    LabelWatch,
    Subject,
    Version,
    Watch,
    days_from,
    flown_on,
    labels_of,
    train,
)

from shipway.contract.spec import ModelSpec, parse_toml
from shipway.monitor import newness
from shipway.monitor.judgement import MISSING_LABELS, NEW_COMBINATIONS, Finding
from shipway.monitor.labeldays import BESIDE, DAYS_BEFORE

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "flights"
PAGE = ROOT / "docs" / "monitoring.md"
BEGIN, END = "<!-- watched: made by `make watched WATCHED=--write` -->\n", "<!-- end of watched -->\n"
QUIET = 67  # windows a version: 603 of nine, which are 20 months
UNTIL = [date(2013, month, 17) for month in range(3, 12)]
FIRST, LAST, ANSWERS = date(2013, 1, 23), date(2013, 12, 30), 14  # days that each version answers
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
    lines = [*quiet_and_planted(spec, flights, known, schedule_changes(source, LESSER)), ""]
    lines += happened(spec, flights, known, new_in_week(source))
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


def quiet_and_planted(
    spec: ModelSpec, flights: pa.Table, known: Sequence[Known], changes: Sequence[Known]
) -> Iterator[str]:
    """How often nothing is an alarm, and how soon what is planted is one."""
    versions = [train(spec, flights, day) for day in UNTIL]
    rng, other = np.random.default_rng(7), np.random.default_rng(8)
    calm = [calm_days(version, known) for version in versions]
    alike = [days_of_a_schedule(version, known, changes) for version in versions]
    singles, alarms, as_if = 0, 0, 0
    for version, days, same in zip(versions, calm, alike, strict=True):
        watch, alone, labels, together = (
            Watch(spec, version),
            Watch(spec, version, alone=True),
            watched_labels(spec, version, days, rng),
            watched_combinations(spec, version, same, other),
        )
        for _ in range(QUIET):
            window = drawn(days, spec, rng)
            alarms += len(watch.see(window)) + sum(len(labels.see(version, day)) for day in window)
            alarms += sum(len(together.see(version, day)) for day in drawn(same, spec, other))
            as_if += len(alone.see(window))
        singles += watch.singles
    windows, days_each = QUIET * len(versions), days_of(spec)
    months = windows * days_each / 30
    columns = len(versions[0].bins.features) + 1
    of_days = f"{days_each} day{'s' * (days_each > 1)}"
    of_windows = f"{windows} quiet windows of {of_days}, {columns} columns, {len(versions)} versions"
    yield f"{of_windows}, labels and combinations included:"
    yield f"{singles} times a column drifted or had gaps in one, and {alarms} alarms began, {alarms / months:.2f} a"
    yield f"model-month. Were each flight taken for one of its own, and not for one of its day, {as_if} would."
    yield ""
    yield "| planted | found by | in versions | flights until the alarm, median (most) |"
    yield "|---|---|---|---|"
    for name, column, change in PLANTED:
        pairs = zip(versions, alike if column == NEW_COMBINATIONS else calm, strict=True)
        took = [flights_until(spec, version, days, column, change, rng) for version, days in pairs]
        ended = sorted(t for t in took if t is not None)
        until_found = f"{ended[len(ended) // 2]:,} ({ended[-1]:,})" if ended else "not found"
        yield f"| {name} | `{column}` | {len(ended)} of {len(took)} | {until_found} |"


def calm_days(version: Version, known: Sequence[Known]) -> list[Flown]:
    """The days that a version was trained on, without storms."""
    stormy = {day for one in known if one.kind == "storm" for day in days_of_break(one)}
    return [flown for day, flown in version.days.items() if day not in stormy]


def days_of_a_schedule(version: Version, known: Sequence[Known], changes: Sequence[Known]) -> list[Flown]:
    """The most of these between two changes of the schedule: days of several, mixed, would change it day by day."""
    stormy = {day for one in known if one.kind == "storm" for day in days_of_break(one)}
    begins = [one.begin for one in changes]
    calm = [(bisect_right(begins, day), flown) for day, flown in version.days.items() if day not in stormy]
    schedules = [[flown for n, flown in calm if n == schedule] for schedule in range(len(begins) + 1)]
    return max(schedules, key=len)


def watched_labels(spec: ModelSpec, version: Version, days: Sequence[Flown], rng: np.random.Generator) -> LabelWatch:
    """That of a version which has answered on as many such days as labels are held against."""
    before = [days[i] for i in rng.integers(0, len(days), DAYS_BEFORE)]
    return LabelWatch(spec, [labels_of(version, day) for day in before])


def watched_combinations(
    spec: ModelSpec, version: Version, days: Sequence[Flown], rng: np.random.Generator
) -> CombinationWatch:
    """That of a model which was asked for as many such days as combinations are held against."""
    watch = CombinationWatch(spec)
    for i in rng.integers(0, len(days), newness.LOOK_BACK + newness.DAYS_BEFORE):
        watch.take(version, days[i])
    return watch


def days_of_break(one: Known) -> list[date]:
    """The UTC days that a day of New York reaches into."""
    return days_from(one.begin, (one.end - one.begin).days + 2)


def days_of(spec: ModelSpec) -> int:
    """Of a drift window."""
    return int(spec.monitoring.drift_window / timedelta(days=1))


def drawn(days: Sequence[Flown], spec: ModelSpec, rng: np.random.Generator) -> list[Flown]:
    """A window of days, drawn anew."""
    return [days[i].copy() for i in rng.integers(0, len(days), days_of(spec))]


def flights_until(
    spec: ModelSpec, version: Version, days: Sequence[Flown], subject: str, change: Change, rng: np.random.Generator
) -> int | None:
    """How many flights pass between a planted break and its alarm, of a column or of a kind; None: it is not found in
    twelve weeks.
    """
    watch, labels, passed, day = Watch(spec, version), watched_labels(spec, version, days, rng), 0, 0
    together = watched_combinations(spec, version, days, np.random.default_rng(8))
    while day < 84:
        window = drawn(days, spec, rng)
        for flown in window:
            change(version, flown, day)
            passed, day = passed + len(flown.rows), day + 1
        by_labels = {kind for flown in window for kind, _ in labels.see(version, flown)}
        by_combinations = {kind for flown in window for kind, _ in together.see(version, flown)}
        if subject in by_labels:
            return passed + passed // day  # a day's more, in which the labels come
        if any(column == subject for _, column in watch.see(window)) or subject in by_combinations:
            return passed
    return None


@dataclass
class Hunt:
    """What is found of a break: when, after how many flights, by what; and how near its days came to it."""

    known: Known
    days: set[date]
    passed: int = 0
    found: str = ""
    moved: tuple[float, str] = (0.0, "")
    missing: Finding | None = None

    def see(self, told: date, about: date, begun: set[Subject]) -> None:
        """Takes what begins to be an alarm of a day."""
        mattered = {key for key in begun if self.known.shows_in(key[1])}
        if about in self.days and mattered and not self.found:
            self.found = f"{told:%B} {told.day} | {self.passed:,} | {named(mattered)}"

    def look(self, about: date, moved: Mapping[str, float], labels: Sequence[Finding]) -> None:
        """Takes how far columns moved on a day, and what its labels were like."""
        if about in self.days:
            self.moved = max(
                [self.moved, *((share, name) for name, share in moved.items() if self.known.shows_in(name))]
            )
        for one in labels if about in self.days and self.known.kind == "storm" else ():
            if one.kind == MISSING_LABELS and one.p is not None:
                self.missing = min([one, *([self.missing] if self.missing else [])], key=lambda of: of.p or 0.0)

    @property
    def row(self) -> str:
        """Of the table."""
        if self.found:
            return f"| {self.known.name} | {self.found} |"
        near = f"at most {self.moved[0]:.0%} of `{self.moved[1]}` lay elsewhere"
        if self.missing is not None and self.missing.figure is not None:
            near += f"; {self.missing.figure:.0%} of labels missing (p = {self.missing.p:.1g} for such weeks)"
        return f"| {self.known.name} | not found | | {near} |"


def happened(spec: ModelSpec, flights: pa.Table, known: Sequence[Known], new: Any) -> Iterator[str]:
    """Which of the breaks that happened were found, when and by what; and what else was."""
    stormy = {day for one in known for day in storm_of(one)}
    hunts = [
        Hunt(one, set(watched_days(one)) - {day for o in known if o is not one for day in storm_of(o)}) for one in known
    ]
    others: list[tuple[date, Subject]] = []
    labels, version, ordinary, yesterday = LabelWatch(spec), train(spec, flights, FIRST), 0, None
    together = CombinationWatch(spec)
    for flown in version.days.values():
        labels.see(version, flown)  # as if it had answered them, too
        together.take(version, flown)
    for day in days_from(FIRST, (LAST - FIRST).days + 1):
        if (day - FIRST).days % ANSWERS == 0:
            version = train(spec, flights, day)
            watch = Watch(spec, version)
        flown = flown_on(version, flights, day)
        said = [(day, watch.see([flown]) | together.see(version, flown))]
        if yesterday is not None:
            said.append((day - timedelta(days=1), labels.see(*yesterday)))
        yesterday = version, flown
        for hunt in hunts:
            hunt.passed += len(flown.rows) if day >= hunt.known.begin else 0
            for about, begun in said:
                hunt.see(day, about, begun | (together.on if about == hunt.known.begin else set()))
            hunt.look(day, watch.moved, [])
            hunt.look(day - timedelta(days=1), {}, labels.said)
        ordinary += day not in stormy
        others += [(about, key) for about, begun in said for key in sorted(begun) if not explained(known, about, key)]
    yield "| happened | found on | after flights | by |"
    yield "|---|---|---|---|"
    yield from (hunt.row for hunt in hunts)
    on = ", ".join(f"{about:%B} {about.day} {named({key})}" for about, key in others) or "none"
    yield ""
    yield f"On the {ordinary} days of the year without a storm {len(others)} alarms began that are of none of these,"
    yield f"{len(others) / ordinary * 30:.2f} a model-month: {on}."
    shares = {about: float(new[about.timetuple().tm_yday - 1]) for about, key in others if key[0] == NEW_COMBINATIONS}
    real = sum(share >= LESSER for share in shares.values())
    yield ""
    of_days = ", ".join(f"{about:%B} {about.day} {share:.0%}" for about, share in shares.items())
    yield f"{len(shares)} of them are of new combinations. So much of the schedule was new in the week from then on:"
    yield f"{of_days}. Where a quarter"
    yield f"is new it has changed as well; without these {real}, the alarms are"
    yield f"{(len(others) - real) / ordinary * 30:.2f} a model-month."


def explained(known: Sequence[Known], about: date, key: Subject) -> bool:
    """Whether an alarm of a day may be of a break that happened."""
    return any(about in watched_days(one) and one.shows_in(key[1]) for one in known)


def storm_of(one: Known) -> list[date]:
    """The days of a storm; a change of the schedule has none."""
    return watched_days(one) if one.kind == "storm" else []


def watched_days(one: Known) -> list[date]:
    """The days on which an alarm counts as this break's."""
    return days_from(one.begin, (one.end - one.begin).days + STILL_FOUND[one.kind])


def named(begun: set[Subject]) -> str:
    """What was found, in words."""
    columns = sorted({column for kind, column in begun if column not in ("", BESIDE) and kind != NEW_COMBINATIONS})
    kinds = {column: sorted(kind for kind, of in begun if of == column) for column in columns}
    of_labels = sorted(f"{kind} {subject}".strip() for kind, subject in begun if subject in ("", BESIDE))
    together = sorted(kind for kind, _ in begun if kind == NEW_COMBINATIONS)
    return ", ".join([*of_labels, *together, *(f"`{column}` ({', '.join(kinds[column])})" for column in columns)])


if __name__ == "__main__":
    main()
