"""The short form of ``make watched``: quiet days of one version without an alarm, each planted break, a storm, and the
changes of the schedule.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from breaks import PLANTED, YEAR, Change, Known, schedule_changes, storms
from watched import calm_days, days_of_a_schedule, drawn, flights_until, happened, read_flights
from watching import CombinationWatch, Version, Watch, days_from, flown_on, train

from shipway.contract.spec import ModelSpec, parse_toml
from shipway.monitor.judgement import NEW_COMBINATIONS

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return parse_toml((EXAMPLE / "flights.toml").read_text())


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, list[Known]]:
    """The flights, and what happened."""
    source, flights = read_flights(tmp_path_factory.mktemp("flights"))
    return flights, [*storms(source), *schedule_changes(source)]


@pytest.fixture(scope="module")
def version(spec: ModelSpec, year: tuple[pa.Table, list[Known]]) -> Version:
    return train(spec, year[0], date(2013, 3, 17))


def test_quiet_days_of_real_flights_raise_no_alarm_though_they_differ(
    spec: ModelSpec, version: Version, year: tuple[pa.Table, list[Known]]
) -> None:
    rng, days = np.random.default_rng(1), calm_days(version, year[1])
    watch, alone = Watch(spec, version), Watch(spec, version, alone=True)
    windows = [drawn(days, spec, rng) for _ in range(60)]
    assert sum(len(watch.see(window)) for window in windows) == 0
    assert sum(len(alone.see(window)) for window in windows) > 20, "days would not matter"


@pytest.mark.parametrize(("name", "column", "change"), PLANTED)
def test_a_planted_break_is_found(
    spec: ModelSpec, version: Version, year: tuple[pa.Table, list[Known]], name: str, column: str, change: Change
) -> None:
    rng, known = np.random.default_rng(5), year[1]
    changes = [one for one in known if one.kind == "schedule"]
    days = days_of_a_schedule(version, known, changes) if column == NEW_COMBINATIONS else calm_days(version, known)
    took = flights_until(spec, version, days, column, change, rng)
    assert took is not None, name
    assert took < (2_100 if "less each day" not in name else 20_000)


def test_the_blizzard_of_february_is_found_on_its_second_day(
    spec: ModelSpec, year: tuple[pa.Table, list[Known]]
) -> None:
    flights, known = year
    (blizzard,) = [one for one in known if one.begin == date(2013, 2, 8)]
    row = next(line for line in happened(spec, flights, [blizzard], np.zeros(YEAR)) if "February" in line)
    assert "| February 9 | 1,677 |" in row, row


def test_each_change_of_the_schedule_shows_in_new_combinations_within_two_days(
    spec: ModelSpec, version: Version, year: tuple[pa.Table, list[Known]]
) -> None:
    flights, known = year
    watch, alarms = CombinationWatch(spec), set[date]()
    for day in days_from(date(2013, 1, 2), YEAR - 2):
        watch.see(version, flown_on(version, flights, day))
        alarms |= {day} if watch.on else set()
    changes = [one.begin for one in known if one.kind == "schedule"]
    assert len(changes) == 9
    late = [begin for begin in changes if not alarms & set(days_from(begin, 2))]
    assert not late
    assert len(alarms) < 45, "it is not on all the time"
    ordinary = days_from(date(2013, 7, 9), 34)  # between two changes, the lesser ones included
    assert not alarms & set(ordinary) and ordinary[-1] + timedelta(days=2) == date(2013, 8, 13)
