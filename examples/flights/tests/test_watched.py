"""The short form of ``make watched``: one version, quiet weeks without an alarm, each planted break found in two."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import watched

from shipway.contract.spec import ModelSpec, parse_toml

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return parse_toml((EXAMPLE / "flights.toml").read_text())


@pytest.fixture(scope="module")
def version(spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> watched.Watched:
    flights: pa.Table = watched.read_flights(tmp_path_factory.mktemp("flights"))
    return watched.train(spec, flights, date(2013, 3, 17))


def test_quiet_weeks_of_real_flights_raise_no_alarm_though_their_days_differ(
    spec: ModelSpec, version: watched.Watched
) -> None:
    weeks = [watched.resampled(version, 7, np.random.default_rng(n)) for n in range(12)]
    by_day = watched.judged(spec, version, weeks)
    assert [name for name, found in by_day.items() if watched.first_alarm(spec, found) is not None] == []
    alone = watched.judged(spec, version, [[np.concatenate(week)] for week in weeks])
    assert sum(watched.first_alarm(spec, found) is not None for found in alone.values()) > 3, "days would not matter"


@pytest.mark.parametrize(("name", "column", "change"), watched.PLANTED)
def test_a_planted_break_is_found(
    spec: ModelSpec, version: watched.Watched, name: str, column: str, change: watched.Change
) -> None:
    took = watched.flights_until(spec, version, column, change, 7, np.random.default_rng(5))
    assert took is not None, name
    assert took < (15_000 if "less each day" not in name else 30_000)
