"""Breaks in a year of flights: known ones, by what the model is never asked, and ones to plant.

A storm is a day on which a tenth of New York's flights never left, with such days within a day of it. The schedule
changes on a day from which on less than 55 % of a week's flights (carrier, number, route and minute) are those of the
week before, and on no day within ten is it less. That can show in what is planned alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from watching import Flown, Version

from shipway.monitor.judgement import LABEL_DRIFT, MISSING_LABELS, NEW_COMBINATIONS

YEAR = 365
CANCELLED, KEPT, PEAK = 0.10, 0.55, 10
LESSER = 0.25  # of a week's flights that are new: the schedule has changed, too
# What the schedule says of a flight, and how often the same one was late before.
PLANNED = frozenset(
    ["carrier", "origin", "dest", "departure_minute", "distance_miles", "departures_in_hour", "flight_late_share_30d"]
)
Change = Callable[[Version, Flown, int], None]
"""Breaks a day, the so-and-so-many-th since it began."""


@dataclass(frozen=True)
class Known:
    """A break that happened: from when to when, and how much of the day's or the week's flights it took."""

    kind: str
    begin: date
    end: date
    figure: float

    @property
    def name(self) -> str:
        """In words."""
        until = "" if self.begin == self.end else f" to {self.end.day}"
        told = "of the flights never left" if self.kind == "storm" else "of the schedule is new"
        return f"{self.begin:%B} {self.begin.day}{until}: {self.figure:.0%} {told}"

    def shows_in(self, subject: str) -> bool:
        """Whether an alarm of a column, or of a combination of columns, may be this break's."""
        planned = PLANNED.issuperset(subject.split(", "))
        return planned if self.kind == "schedule" else subject in PLANNED or not planned


def storms(table: Any) -> list[Known]:
    """Of the source's table of flights."""
    of_day = _days(table)
    left = np.asarray(table["dep_delay"], dtype=np.float64)
    share = np.bincount(of_day, np.isnan(left), YEAR) / np.maximum(np.bincount(of_day, minlength=YEAR), 1)
    found: list[Known] = []
    for n in np.flatnonzero(share >= CANCELLED).tolist():
        day = date(2013, 1, 1) + timedelta(days=n)
        if found and (day - found[-1].end).days <= 2:
            before = found.pop()
            found.append(Known("storm", before.begin, day, max(before.figure, float(share[n]))))
        else:
            found.append(Known("storm", day, day, float(share[n])))
    return found


def schedule_changes(table: Any, least: float = 1 - KEPT) -> list[Known]:
    """Of the source's table of flights, where so much of a week is new."""
    new = new_in_week(table)
    most = [n for n in range(YEAR) if new[n] > least and new[n] == new[max(n - PEAK, 0) : n + PEAK + 1].max()]
    days = [(date(2013, 1, 1) + timedelta(days=n), float(new[n])) for n in most]
    return [Known("schedule", day, day, share) for day, share in days]


def new_in_week(table: Any) -> Any:
    """For each day of the year the share of the next week's flights that are not those of the week before."""
    columns = [table[name].to_numpy(zero_copy_only=False) for name in ("flight", "sched_dep_time")]
    texts = [table[name].to_numpy(zero_copy_only=False).astype(str) for name in ("carrier", "origin", "dest")]
    codes = [np.unique(column, return_inverse=True)[1] for column in [*columns, *texts]]
    flight = np.zeros(len(codes[0]), np.int64)
    for code in codes:
        flight = flight * (int(code.max()) + 1) + code
    names = np.unique(flight, return_inverse=True)[1]
    flown = np.zeros((YEAR, int(names.max()) + 1), np.int64)
    np.add.at(flown, (_days(table), names), 1)
    new = np.zeros(YEAR)
    for n in range(7, YEAR - 6):
        before, after = flown[n - 7 : n].sum(axis=0), flown[n : n + 7].sum(axis=0)
        new[n] = 1 - np.minimum(before, after).sum() / max(before.sum(), after.sum())
    return new


def _days(table: Any) -> Any:
    """The day of the year of each flight, New York's."""
    month, day = (table[name].to_numpy().astype(int) for name in ("month", "day"))
    begins = np.array([(date(2013, m, 1) - date(2013, 1, 1)).days for m in range(1, 13)])
    return begins[month - 1] + day - 1


def _unit(version: Version, flown: Flown, _day: int) -> None:
    flown.rows[:, version.place("distance_miles")] *= 1.609


def _dropped(version: Version, flown: Flown, _day: int) -> None:
    flown.rows[:, version.place("carrier_delay_2h")] = np.nan


def _shuffled(version: Version, flown: Flown, _day: int) -> None:
    place = version.place("carrier")
    count = len(version.signature.features[place].categories)
    flown.rows[:, place] = np.random.default_rng(3).permutation(count)[flown.rows[:, place].astype(int)]


def _decay(version: Version, flown: Flown, day: int) -> None:
    """A sensor that reads a fiftieth less each day."""
    flown.rows[:, version.place("departures_in_hour")] *= 0.98**day


def _later(version: Version, flown: Flown, _day: int) -> None:
    """Flights of every third route and minute leave ten minutes later."""
    minute, dest = (flown.rows[:, version.place(name)] for name in ("departure_minute", "dest"))
    flown.rows[:, version.place("departure_minute")] += np.where((minute + dest) % 3 == 0, 10, 0)


def _lost(_version: Version, flown: Flown, _day: int) -> None:
    """Every tenth flight's label does not come."""
    flown.late[::10] = np.nan


def _turned(_version: Version, flown: Flown, _day: int) -> None:
    """Late means in time."""
    flown.late[:] = 1 - flown.late


PLANTED: list[tuple[str, str, Change]] = [
    ("miles become kilometres", "distance_miles", _unit),
    ("a column is dropped", "carrier_delay_2h", _dropped),
    ("codes of a category are shuffled", "carrier", _shuffled),
    ("a number reads 2 % less each day", "departures_in_hour", _decay),
    ("one label in ten is lost", MISSING_LABELS, _lost),
    ("labels are turned round", LABEL_DRIFT, _turned),
    ("a third of the flights is scheduled anew", NEW_COMBINATIONS, _later),
]
