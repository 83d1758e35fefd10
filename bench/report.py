"""The tables and the plot of docs/performance.md, from what was measured."""

import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median as median_of

from load import Figure
from plot import bars

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PLOT = PAGE.with_name("performance.svg")
Case = tuple[str, int, int]
"""Target, connections, rows a request."""
Figures = Mapping[Case, list[Figure]]


def write_report(figures: Figures, write: bool) -> None:
    """Prints the tables, and puts them into the page, and the plot beside it, where that is asked for."""
    lines = [*_head(figures), *_goals(figures), *_tables(figures)]
    print("\n" + "\n".join(lines))
    if write:
        write_section("bench", lines)
        PLOT.write_text(_plot(figures), encoding="utf-8")


def write_section(name: str, lines: list[str]) -> None:
    """Puts lines into the page, between the marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    assert found, f"{PAGE} has no {begin}"
    PAGE.write_text("\n".join([head + begin, *lines, end]) + rest.partition(end)[2], encoding="utf-8")


def median(values: Iterable[float]) -> float:
    """The median of those that were measured; NaN where none was (no answer in the time of a round)."""
    known = [value for value in values if not math.isnan(value)]
    return median_of(known) if known else math.nan


def spread(values: Sequence[float], digits: int = 1) -> str:
    """A median, and the least and the most."""
    ordered = sorted(values)
    return f"{median(ordered):.{digits}f} ({ordered[0]:.{digits}f} to {ordered[-1]:.{digits}f})"


def machine() -> str:
    """Where it was measured."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


def _head(figures: Figures) -> list[str]:
    rounds = max(map(len, figures.values()))
    return [
        f"{machine()}; medians of {rounds} interleaved rounds. *Ratio* is Shipway's throughput over the other's in the "
        "same round: median (least to most). *MB* is the memory of all its processes under that load.",
        "",
        "![Requests a second, by connections](performance.svg)",
        "",
    ]


def _goals(figures: Figures) -> list[str]:
    """The figures to reach, as ratios of the same round."""

    def ratios(other: str, connections: int, of: str) -> list[float]:
        ours, theirs = figures.get(("Shipway", connections, 1), []), figures.get((other, connections, 1), [])
        # Who is not installed is left out.
        return [getattr(a, of) / getattr(b, of) for a, b in zip(ours, theirs, strict=bool(theirs))]

    goals = [
        ("throughput over MLServer's, 32 connections", ratios("MLServer", 32, "per_s"), "at least 10", 10.0, True),
        ("p99 over MLServer's, 32 connections", ratios("MLServer", 32, "p99_ms"), "at most 0.167", 1 / 6, False),
        ("p50 over MLServer's, 1 connection", ratios("MLServer", 1, "p50_ms"), "below 1", 1.0, False),
        (
            "throughput over bare uvicorn's, 32 connections",
            ratios("bare uvicorn", 32, "per_s"),
            "at least 0.7",
            0.7,
            True,
        ),
    ]
    lines = ["| through the gateway, log and metrics on | wanted | found | |", "|---|---|---:|---|"]
    for what, found, wanted, limit, more in goals:
        if found:
            there = median(found) >= limit if more else median(found) <= limit
            lines.append(f"| {what} | {wanted} | {spread(found, 2)} | {'reached' if there else 'missed'} |")
    return [*lines, ""]


def _tables(figures: Figures) -> list[str]:
    lines = []
    for rows in sorted({case[2] for case in figures}):
        lines += [
            f"### {rows:,} row{'s' if rows > 1 else ''} a request",
            "",
            "| connections | server | requests/s | p50 ms | p99 ms | ratio | MB | failed |",
            "|---:|---|---:|---:|---:|---:|---:|---:|",
        ]
        for connections in sorted({case[1] for case in figures if case[2] == rows}):
            ours = figures["Shipway", connections, rows]
            for name, c, r in figures:
                if (c, r) == (connections, rows):
                    found = figures[name, c, r]
                    ratios = [a.per_s / b.per_s for a, b in zip(ours, found, strict=True) if b.per_s]
                    lines.append(
                        f"| {c} | {name} | {median(f.per_s for f in found):,.0f} | "
                        f"{_ms(f.p50_ms for f in found)} | {_ms(f.p99_ms for f in found)} | "
                        f"{spread(ratios) if ratios and name != 'Shipway' else ''} | "
                        f"{median(f.memory_mb for f in found):,.0f} | "
                        f"{sum(f.errors for f in found)} |"
                    )
        lines.append("")
    return lines[:-1]


def _ms(values: Iterable[float]) -> str:
    """Where a request of a round took longer than the round, there is no such figure."""
    found = median(values)
    return "–" if math.isnan(found) else f"{found:.2f}"


def _plot(figures: Figures) -> str:
    least = min(case[2] for case in figures)
    connections = sorted({case[1] for case in figures if case[2] == least})
    names = list(dict.fromkeys(case[0] for case in figures))
    series = {n: [median(f.per_s for f in figures[n, c, least]) for c in connections] for n in names}
    return bars(f"Requests a second, {least} row a request", [f"{c} connections" for c in connections], series)
