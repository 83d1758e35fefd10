"""The short form of ``make watched``: quiet days of one version without an alarm, each planted break, and a storm."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from breaks import PLANTED, Change, Known, schedule_changes, storms
from watched import calm_days, drawn, flights_until, happened, read_flights
from watching import Version, Watch, train

from shipway.contract.spec import ModelSpec, parse_toml

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
    rng = np.random.default_rng(5)
    took = flights_until(spec, version, calm_days(version, year[1]), column, change, rng)
    assert took is not None, name
    assert took < (2_100 if "less each day" not in name else 20_000)


def test_the_blizzard_of_february_is_found_on_its_second_day(
    spec: ModelSpec, year: tuple[pa.Table, list[Known]]
) -> None:
    flights, known = year
    (blizzard,) = [one for one in known if one.begin == date(2013, 2, 8)]
    row = next(line for line in happened(spec, flights, [blizzard]) if "February" in line)
    assert "| February 9 | 1,677 |" in row, row
