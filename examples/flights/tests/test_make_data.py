"""The flights example's data: complete, made once, and free of anything that was not known in time."""

import importlib.util
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

PROGRAM = Path(__file__).parents[1] / "make_data.py"
AHEAD = timedelta(hours=2)


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flights_make_data", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


make_data = load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder built once for all tests that only read it."""
    made = tmp_path_factory.mktemp("flights")
    summary = make_data.build(made)
    assert (summary.files, summary.rows, summary.rows_without_target) == (12, 336_776, 9_430)
    assert summary.written
    return made


@pytest.fixture(scope="module")
def table(folder: Path) -> Any:
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet")))


@pytest.fixture(scope="module")
def source() -> Any:
    return make_data.read_source()


def test_columns_are_the_declared_ones_and_no_outcome_but_the_target(table: Any) -> None:
    assert table.column_names == [
        *("scheduled_departure", "flight_id", "carrier", "origin", "dest", "departure_minute", "distance_miles"),
        *("departures_in_hour", "origin_delay_2h", "carrier_delay_2h", "origin_late_share_6h"),
        *("dest_late_share_6h", "flight_late_share_30d", "pressure_mb", "visibility_miles"),
        *("precipitation_in", "wind_speed_mph", "wind_direction_deg", "late"),
    ]
    assert table.schema.field("scheduled_departure").type == pa.timestamp("us", "UTC")
    assert table.schema.field("late").type == pa.bool_()


def test_rows_are_in_order_and_each_has_an_id_of_its_own(table: Any) -> None:
    moments = table["scheduled_departure"].cast(pa.int64()).to_numpy()
    assert (np.diff(moments) >= 0).all()
    assert pc.count_distinct(table["flight_id"]).as_py() == table.num_rows


def test_the_target_is_an_arrival_15_minutes_late_and_null_without_an_arrival(table: Any, source: Any) -> None:
    delay = source.flights["arr_delay"]
    assert pc.sum(table["late"]).as_py() == pc.sum(pc.greater_equal(delay, 15)).as_py()
    assert table["late"].null_count == delay.null_count == 9_430


def test_a_complete_folder_is_left_alone(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert not make_data.build(folder).written
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("harm", ["missing", "cut short", "another recipe"])
def test_an_incomplete_folder_is_not_taken_for_complete(folder: Path, tmp_path: Path, harm: str) -> None:
    for path in folder.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    recipe = make_data._recipe()
    assert make_data._summary(tmp_path, recipe, written=False) is not None
    june = tmp_path / "2013-06.parquet"
    if harm == "missing":
        june.unlink()
    elif harm == "cut short":
        june.write_bytes(june.read_bytes()[:-100])
    else:
        pq.write_table(pq.read_table(june).replace_schema_metadata({make_data.RECIPE_KEY: b"other"}), june)
    assert make_data._summary(tmp_path, recipe, written=False) is None


def test_a_build_that_fails_leaves_no_file_that_looks_whole(
    tmp_path: Path, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(table: Any, path: Path, **_: Any) -> None:
        path.write_bytes(b"PAR1")
        raise OSError("no space left on device")

    few = make_data.Source(source.flights.slice(0, 1000), source.weather, source.airports)
    monkeypatch.setattr(make_data, "read_source", lambda: few)
    monkeypatch.setattr(make_data.pq, "write_table", disk_full)
    with pytest.raises(OSError, match="no space"):
        make_data.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_happens_later_changes_no_feature(source: Any) -> None:
    """Rewrite everything from one moment on: rows whose prediction was due before it must not notice."""
    moment = pa.scalar(datetime(2013, 3, 12, 16, tzinfo=UTC))
    flights = source.flights.filter(pc.less_equal(source.flights["month"], 3))
    # No flight left earlier than 43 minutes before its time, so those an hour on have not left at the moment.
    later = pc.greater(flights["time_hour"], pa.scalar(moment.as_py() + timedelta(hours=1)))
    for name, value in (("dep_delay", 177), ("arr_delay", 199)):
        at = flights.column_names.index(name)
        flights = flights.set_column(at, name, pc.if_else(later, value, flights[name]))
    weather = source.weather
    # An hour's observation is made within the hour, so that of the hour of the moment is not known yet.
    unseen = pc.greater_equal(weather["time_hour"], moment)
    for name in make_data.WEATHER:
        at = weather.column_names.index(name)
        weather = weather.set_column(at, name, pc.if_else(unseen, pc.add(weather[name], 1), weather[name]))

    whole = source.flights.filter(pc.less_equal(source.flights["month"], 3))
    before = make_data.make_table(make_data.Source(whole, source.weather, source.airports)).drop(["late"])
    after = make_data.make_table(make_data.Source(flights, weather, source.airports)).drop(["late"])
    due = pc.less_equal(before["scheduled_departure"], pa.scalar(moment.as_py() + AHEAD))
    assert before.filter(due).equals(after.filter(due))
    changed = {name for name in before.column_names if not before[name].equals(after[name])}
    assert changed == {
        *("origin_delay_2h", "carrier_delay_2h", "origin_late_share_6h", "dest_late_share_6h"),
        *("flight_late_share_30d", "pressure_mb", "visibility_miles", "precipitation_in"),
        *("wind_speed_mph", "wind_direction_deg"),
    }


def test_features_equal_a_search_through_all_flights_known_at_the_time(table: Any, source: Any) -> None:
    """Forty rows around the change of clocks on 10 March, worked out one by one from the raw clock times."""
    history = _history(source, first=datetime(2013, 2, 4, tzinfo=UTC), last=datetime(2013, 3, 13, tzinfo=UTC))
    weather = _weather(source, first=datetime(2013, 3, 7, tzinfo=UTC), last=datetime(2013, 3, 13, tzinfo=UTC))
    rows = table.filter(
        pc.and_(
            pc.greater_equal(table["scheduled_departure"], pa.scalar(datetime(2013, 3, 8, tzinfo=UTC))),
            pc.less(table["scheduled_departure"], pa.scalar(datetime(2013, 3, 13, tzinfo=UTC))),
        )
    ).to_pylist()
    sample = random.Random(5).sample(rows, 40)
    assert len({row["origin"] for row in sample}) == 3
    for row in sample:
        expected = _expected(row, history, weather)
        assert {name: row[name] for name in expected} == pytest.approx(expected), row["flight_id"]


def _expected(row: dict[str, Any], history: list[dict[str, Any]], weather: list[dict[str, Any]]) -> dict[str, Any]:
    cutoff = row["scheduled_departure"] - AHEAD
    number = row["flight_id"].split("-")[0]

    # No flight of 2013 was a day late, so what was known in a window of hours left in the days before.
    near = [f for f in history if timedelta(days=-1) < cutoff - f["scheduled"] < timedelta(days=3)]

    def mean(value: str, known: str, hours: int, at_least: int = 1, **same: str) -> float | None:
        values = [
            flight[value]
            for flight in (near if hours <= 24 else history)
            if all(flight[key] == wanted for key, wanted in same.items())
            and flight[known] is not None
            and cutoff - timedelta(hours=hours) < flight[known] <= cutoff
        ]
        return sum(values) / len(values) if len(values) >= at_least else None

    seen = [w for w in weather if w["origin"] == row["origin"] and cutoff - timedelta(hours=3) < w["known"] <= cutoff]
    last = max(seen, key=lambda w: w["known"])
    same_flight = {"number": number, "origin": row["origin"], "dest": row["dest"]}
    return {
        "origin_delay_2h": mean("delay", "departed", 2, origin=row["origin"]),
        "carrier_delay_2h": mean("delay", "departed", 2, carrier=row["carrier"]),
        "origin_late_share_6h": mean("late", "arrived", 6, origin=row["origin"]),
        "dest_late_share_6h": mean("late", "arrived", 6, dest=row["dest"]),
        "flight_late_share_30d": mean("late", "arrived", 30 * 24, at_least=3, **same_flight),
        **{ours: last[theirs] for theirs, ours in make_data.WEATHER.items()},
    }


def _history(source: Any, first: datetime, last: datetime) -> list[dict[str, Any]]:
    """The flights of these days; when each arrived is read from the airport's clock, not from the delay."""
    flights = source.flights
    chosen = pc.and_(
        pc.greater_equal(flights["time_hour"], pa.scalar(first)), pc.less(flights["time_hour"], pa.scalar(last))
    )
    zones = dict(zip(source.airports["faa"].to_pylist(), source.airports["tzone"].to_pylist(), strict=True))
    clocks = {name: ZoneInfo(zone) for name, zone in zones.items() if zone != "NA"}
    found = []
    for flight in flights.filter(chosen).to_pylist():
        scheduled = flight["time_hour"] + timedelta(minutes=flight["minute"])
        departed = arrived = None
        if flight["dep_delay"] is not None:
            departed = scheduled + timedelta(minutes=flight["dep_delay"])
        if departed is not None and flight["arr_delay"] is not None:
            landed = departed + timedelta(minutes=flight["air_time"])
            clock = landed.astimezone(clocks.get(flight["dest"], ZoneInfo("America/Puerto_Rico")))
            on_clock = flight["arr_time"] // 100 * 60 + flight["arr_time"] % 100
            # The rest of the way to the gate takes far less than a day.
            arrived = landed + timedelta(minutes=(on_clock - clock.hour * 60 - clock.minute) % (24 * 60))
        found.append(
            {
                "number": f"{flight['carrier']}{flight['flight']}",
                **{name: flight[name] for name in ("carrier", "origin", "dest")},
                "scheduled": scheduled,
                "departed": departed,
                "delay": None if departed is None else max(-15, min(240, flight["dep_delay"])),
                "arrived": arrived,
                "late": None if arrived is None else flight["arr_delay"] >= 15,
            }
        )
    return found


def _weather(source: Any, first: datetime, last: datetime) -> list[dict[str, Any]]:
    weather = source.weather
    chosen = pc.and_(
        pc.greater_equal(weather["time_hour"], pa.scalar(first)), pc.less(weather["time_hour"], pa.scalar(last))
    )
    return [row | {"known": row["time_hour"] + timedelta(hours=1)} for row in weather.filter(chosen).to_pylist()]
