"""Versions of the flights' model, quickly trained, and windows of days judged as the monitor judges them, and as labels
come: those of a day when the next one is over. Combinations of values are judged day by day, too.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import lightgbm
import numpy as np
import pyarrow as pa

from shipway.bundle.features import encode_table, encode_target, learn_signature
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec
from shipway.monitor import combinations, labeldays, newness
from shipway.monitor.bins import Bins, Matrix, cells_of, make_bins
from shipway.monitor.combinations import Combined
from shipway.monitor.combinationstore import named as declared
from shipway.monitor.judgement import Finding, drifts, limits_of, rule_of
from shipway.monitor.labeldays import DAYS_BEFORE, LabelDay
from shipway.monitor.labelwatch import rule_of as label_rule_of
from shipway.monitor.parquet import values
from shipway.monitor.quality import AGES, BINS, Quality
from shipway.monitor.recentdays import Day
from shipway.monitor.summary import Summary

TRAINED_DAYS, REFERENCE_ROWS = 75, 5000
LABEL_AFTER = timedelta(hours=12)  # a flight has arrived by then
Subject = tuple[str, str]
"""Kind and column of an alarm."""


@dataclass
class Flown:
    """A day's flights as a version is asked, and whether each was late; NaN of one that never arrived."""

    rows: Matrix
    late: Matrix

    def copy(self) -> "Flown":
        """One that may be broken."""
        return Flown(self.rows.copy(), self.late.copy())


@dataclass(frozen=True)
class Version:
    """How it is counted, what it answers, and the days that it was trained on, by date."""

    until: date
    signature: Signature
    bins: Bins
    answer: Callable[[Matrix], Matrix]
    days: dict[date, Flown]

    def place(self, name: str) -> int:
        """Where a feature is among the rows' columns."""
        return next(i for i, feature in enumerate(self.signature.features) if feature.name == name)


def train(spec: ModelSpec, flights: pa.Table, until: date) -> Version:
    """A version of the days before, of as many as the year has, quickly."""
    first = max(until - timedelta(days=TRAINED_DAYS), date(2013, 1, 2))
    dates = days_from(first, (until - first).days)
    tables = [of_day(flights, day) for day in dates]
    table = pa.concat_tables(tables)
    signature = learn_signature(spec, table)
    days = {day: _flown(signature, of) for day, of in zip(dates, tables, strict=True)}
    rows, late = (np.concatenate([getattr(of, name) for of in days.values()]) for name in ("rows", "late"))
    known = np.isfinite(late)
    settings = {"objective": "binary", "learning_rate": 0.05, "min_data_in_leaf": 200, "num_threads": 1, "verbose": -1}
    model = lightgbm.train(settings, lightgbm.Dataset(rows[known], late[known]), 60)
    chosen = np.sort(np.random.default_rng(1).choice(len(rows), min(REFERENCE_ROWS, len(rows)), replace=False))
    sizes = [day.num_rows for day in tables]
    of_days = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[chosen], minlength=len(sizes))

    def answer(matrix: Matrix) -> Matrix:
        return np.asarray(model.predict(matrix))[:, None]

    bins = make_bins(signature, rows[chosen], answer(rows[chosen]), days=of_days.tolist())
    return Version(until, signature, bins, answer, days)


def days_from(begin: date, count: int) -> list[date]:
    """So many days."""
    return [begin + timedelta(days=n) for n in range(count)]


def of_day(flights: pa.Table, day: date) -> pa.Table:
    """A UTC day's flights."""
    at = flights["scheduled_departure"].to_numpy().astype("datetime64[D]")
    return flights.filter(pa.array(at == np.datetime64(day)))


def flown_on(version: Version, flights: pa.Table, day: date) -> Flown:
    """A day's flights as the version is asked."""
    return _flown(version.signature, of_day(flights, day))


def _flown(signature: Signature, table: pa.Table) -> Flown:
    labels, known = encode_target(signature, table)
    return Flown(encode_table(signature, table), np.where(known, labels.ravel(), np.nan))


def labels_of(version: Version, day: Flown) -> tuple[int, Quality]:
    """How many were asked, and the sums of what came of them."""
    known = np.isfinite(day.late)
    stated, came = version.answer(day.rows)[known, 0], day.late[known]
    place = np.minimum((stated * BINS).astype(int), BINS - 1)
    sums = Quality(labelled=len(came), binned=np.bincount(place, minlength=BINS).tolist())
    sums.stated, sums.came = (np.bincount(place, of, BINS).tolist() for of in (stated, came))
    sums.delays[bisect_left(AGES, LABEL_AFTER)] = len(came)
    return len(day.rows), sums


@dataclass
class LabelWatch:
    """The labels of a model's days one after another, whichever version answers. ``days``: what came of each, the
    newest last; ``said``: of the last that was judged.
    """

    spec: ModelSpec
    days: list[tuple[int, Quality]] = field(default_factory=list)
    recent: dict[Subject, list[str]] = field(default_factory=dict)
    on: set[Subject] = field(default_factory=set)
    said: list[Finding] = field(default_factory=list)

    def see(self, version: Version, day: Flown) -> set[Subject]:
        """Judges a day; gives what begins to be an alarm."""
        self.days = [*self.days[-DAYS_BEFORE:], labels_of(version, day)]
        days = [LabelDay(ago, *of) for ago, of in enumerate(reversed(self.days))]
        self.said = labeldays.judge(days, self.spec.target.kind, label_rule_of(self.spec), self.recent)
        for one in self.said:
            self.recent.setdefault((one.kind, one.subject), []).append(one.state)
        now = {(one.kind, one.subject) for one in self.said if one.alarm}
        begun, self.on = now - self.on, now
        return begun


@dataclass
class CombinationWatch:
    """The combinations of a model's days one after another, whichever version answers. ``days``: those of each, the
    newest last; ``shares``: how much of each was new, None of the first ones.
    """

    spec: ModelSpec
    days: dict[str, list[Combined]] = field(default_factory=dict)
    shares: dict[str, list[Day | None]] = field(default_factory=dict)
    recent: dict[str, list[str]] = field(default_factory=dict)
    on: set[Subject] = field(default_factory=set)
    said: list[Finding] = field(default_factory=list)

    def see(self, version: Version, day: Flown) -> set[Subject]:
        """Judges a day; gives what begins to be an alarm."""
        self.take(version, day)
        ago = {
            name: [replace(one, ago=n) for n, one in enumerate(reversed(known)) if one is not None]
            for name, known in self.shares.items()
        }
        self.said = newness.judge(ago, rule_of(self.spec), self.recent)
        for one in self.said:
            self.recent.setdefault(one.subject, []).append(one.state)
        now = {(one.kind, one.subject) for one in self.said if one.alarm}
        begun, self.on = now - self.on, now
        return begun

    def take(self, version: Version, day: Flown) -> None:
        """Counts a day, without judging it."""
        for name, columns in declared(self.spec).items():
            known = combined_of(version, day, columns)
            before = self.days.get(name, [])[-newness.LOOK_BACK :]
            share = newness.share_of(*combinations.new(known, before), looked_back=len(before))
            self.days[name] = [*before, known]
            self.shares[name] = [*self.shares.get(name, [])[-newness.DAYS_BEFORE :], share]


def combined_of(version: Version, day: Flown, columns: Sequence[str]) -> Combined:
    """A day's combinations, of the values as the history has them."""
    places = [version.place(name) for name in columns]
    features = version.signature.features
    table = pa.table({features[i].name: values(features[i], pa.array(day.rows[:, i])) for i in places})
    return combinations.combined(table, columns)


@dataclass
class Watch:
    """The windows of a version one after another. ``alone``: each flight counts for one of its own, not of its day.
    ``moved``: the share of the last window's flights that lie elsewhere, by column.
    """

    spec: ModelSpec
    version: Version
    alone: bool = False
    recent: dict[str, list[str]] = field(default_factory=dict)
    on: set[Subject] = field(default_factory=set)
    singles: int = 0
    moved: dict[str, float] = field(default_factory=dict)

    def see(self, window: Sequence[Flown]) -> set[Subject]:
        """Judges a window of days; gives what begins to be an alarm."""
        days = [self._counted(day.rows) for day in window]
        whole = Summary()
        for day in days:
            whole.add(day)
        found = self._judged(whole, [] if self.alone else days)
        for one in found:
            if one.kind == "drift":
                self.recent.setdefault(one.subject, []).append(one.state)
        self.moved = {one.subject: one.figure for one in found if one.kind == "drift" and one.figure is not None}
        self.singles += sum(one.state in ("drift", "alarm") for one in found)
        now = {(one.kind, one.subject) for one in found if one.alarm}
        begun, self.on = now - self.on, now
        return begun

    def _counted(self, day: Matrix) -> Summary:
        bins = self.version.bins
        cells = np.concatenate([cells_of(column, day[:, i]) for i, column in enumerate(bins.features)])
        score = cells_of(bins.score, self.version.answer(day)[:, 0])
        return Summary(answered=len(day), binned=len(day), rows=len(day), cells=cells, score=score)

    def _judged(self, whole: Summary, days: Sequence[Summary]) -> list[Finding]:
        rule, limits = rule_of(self.spec), limits_of(self.spec)
        return drifts(1, whole, self.version.bins, rule, limits, frozenset(), self.recent, days)
