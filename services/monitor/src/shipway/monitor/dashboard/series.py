"""A model's figures over time as plots: traffic, failures, latency, quality with its coverage. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shipway.monitor.bins import Counts
from shipway.monitor.dashboard.charts import Plot, Series, moments
from shipway.monitor.quality import Quality, mean_loss
from shipway.monitor.summary import quantile_us

MOST = 6  # versions that a plot names; traffic of the others is one line
APART = 2  # versions whose percentiles are drawn, the newest; those of the others are of all of them
TONES = 6


def traffic(rows: Iterable[Any], begin: datetime, end: datetime, width: timedelta) -> tuple[Plot, Plot]:
    """Predictions a second by version, and how many failed or were refused; rows as ``sums.traffic`` gives them."""
    answered: defaultdict[int, dict[datetime, float]] = defaultdict(lambda: defaultdict(float))
    troubled: dict[str, dict[datetime, float]] = {"failed": defaultdict(float), "refused": defaultdict(float)}
    for row in rows:
        if row.outcome == "answered":
            answered[row.version][row.at] += row.number / width.total_seconds()
        elif row.outcome in troubled:
            troubled[row.outcome][row.at] += row.number
    at = moments(begin, end, width)
    series = [
        Series(name, [of.get(moment, 0.0) for moment in at], tone_of(version)) for version, name, of in _named(answered)
    ]
    bad = [
        Series(outcome, [of.get(moment, 0.0) for moment in at], tone)
        for (outcome, of), tone in zip(troubled.items(), (3, 4), strict=True)
    ]
    return Plot("Predictions a second", at, series, "rate"), Plot("Not answered", at, bad, "count")


def percentiles(
    counts: Mapping[tuple[int, datetime], Counts], begin: datetime, end: datetime, width: timedelta
) -> Plot:
    """How long half of the answers took at most (p50), and all but one in a hundred (p99): of the newest versions each,
    of the others together.

    ``counts``: Summary.latencies by version and moment.
    """
    at = moments(begin, end, width)
    newest = sorted({version for version, _ in counts}, reverse=True)
    of: defaultdict[int, dict[datetime, Counts]] = defaultdict(dict)
    for (version, slot), more in counts.items():
        line = of[max(version, newest[min(APART, len(newest) - 1)])]
        place = moments(slot, slot, width)[0]
        line[place] = line[place] + more if place in line else more
    series = [
        Series(
            f"version {version}, {name}"
            if version in newest[:APART] or len(newest) == APART + 1
            else f"others, {name}",
            [quantile_us(of[version][m], share) if m in of[version] else None for m in at],
            tone_of(version),
            dashed=dashed,
        )
        for version in sorted(of, reverse=True)
        for name, share, dashed in (("p50", 0.5, False), ("p99", 0.99, True))
    ]
    return Plot("Latency, p50 and p99", at, series, "us")


def latency(rows: Iterable[Any], begin: datetime, end: datetime, width: timedelta) -> Plot:
    """The mean time of answers by version; rows as of ``traffic``."""
    sums: defaultdict[int, dict[datetime, tuple[float, int]]] = defaultdict(dict)
    for row in rows:
        if row.outcome == "answered" and row.number:
            sums[row.version][row.at] = (float(row.latency_us), int(row.number))
    at = moments(begin, end, width)
    series = [
        Series(f"version {version}", [_mean(of.get(moment)) for moment in at], tone_of(version))
        for version, of in sorted(sums.items(), reverse=True)[:MOST]
    ]
    return Plot("Mean latency", at, series, "us")


def quality(
    sums: Mapping[tuple[int, datetime], Quality],
    answered: Mapping[tuple[int, datetime], int],
    begin: datetime,
    end: datetime,
    width: timedelta,
) -> tuple[Plot, Plot]:
    """The mean loss by version, and which share of the predictions has its label; 0 to 1 both."""
    at = moments(begin, end, width)
    versions = sorted({version for version, _ in sums}, reverse=True)[:MOST]
    losses = []
    for version in versions:
        estimates = [mean_loss(sums[version, m]) if (version, m) in sums else None for m in at]
        losses.append(Series(f"version {version}", [e.mean if e else None for e in estimates], tone_of(version)))
    labelled = _by_moment({key: of.rows for key, of in sums.items()})
    predicted = _by_moment(answered)
    covered = [min(labelled.get(m, 0) / predicted[m], 1.0) if predicted.get(m) else None for m in at]
    coverage = Plot("Labelled share", at, [Series("labelled", covered, 5)], "share", high=1.0)
    return Plot("Mean loss by labels", at, losses, "figure"), coverage


def answered_of(rows: Iterable[Any]) -> dict[tuple[int, datetime], int]:
    """Answers by version and part, of rows as of ``traffic``."""
    return {(row.version, row.at): int(row.number) for row in rows if row.outcome == "answered"}


def tone_of(version: int) -> int:
    """A version's place among the colours: the same in all plots."""
    return version % TONES


def _named(by_version: Mapping[int, Mapping[datetime, float]]) -> list[tuple[int, str, Mapping[datetime, float]]]:
    """The versions of most traffic with their names, the newest first; the others together."""
    most = sorted(by_version, key=lambda version: -sum(by_version[version].values()))
    shown = [(version, f"version {version}", by_version[version]) for version in sorted(most[:MOST], reverse=True)]
    if rest := most[MOST:]:
        shown.append((max(rest), "others", _added(by_version[version] for version in rest)))
    return shown


def _added(parts: Iterable[Mapping[datetime, float]]) -> Mapping[datetime, float]:
    total: defaultdict[datetime, float] = defaultdict(float)
    for part in parts:
        for moment, value in part.items():
            total[moment] += value
    return total


def _by_moment(counts: Mapping[tuple[int, datetime], int]) -> dict[datetime, int]:
    total: defaultdict[datetime, int] = defaultdict(int)
    for (_, moment), number in counts.items():
        total[moment] += number
    return total


def _mean(both: tuple[float, int] | None) -> float | None:
    return both[0] / both[1] if both is not None else None
