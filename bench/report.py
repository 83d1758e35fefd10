"""The tables of docs/performance.md, from what was measured."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from load import Figure

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
Case = tuple[str, int, int]


def write_report(figures: Mapping[Case, list[Figure]], memory: Mapping[str, float], write: bool) -> None:
    """Prints the tables, and puts them into the page where that is asked for."""
    text = "\n".join([*_tables(figures), *_memory(memory)])
    print("\n" + text)
    if write:
        write_section("bench", text.splitlines())


def write_section(name: str, lines: list[str]) -> None:
    """Puts lines into the page, between the marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, found, rest = PAGE.read_text().partition(begin)
    assert found, f"{PAGE} has no {begin}"
    PAGE.write_text("\n".join([head + begin, *lines, end]) + rest.partition(end)[2])


def _tables(figures: Mapping[Case, list[Figure]]) -> list[str]:
    lines = [
        f"{os.cpu_count()} cores, Python {platform.python_version()}; medians of {max(map(len, figures.values()))} "
        "interleaved rounds. *Ratio* is Shipway's throughput over the other's in the same round: median (least to "
        "most).",
        "",
    ]
    for rows in sorted({case[2] for case in figures}):
        lines += [
            f"### {rows} row{'s' if rows > 1 else ''} a request",
            "",
            "| connections | server | requests/s | p50 ms | p99 ms | ratio | failed |",
            "|---:|---|---:|---:|---:|---:|---:|",
        ]
        for connections in sorted({case[1] for case in figures if case[2] == rows}):
            ours = figures["Shipway", connections, rows]
            for name, c, r in figures:
                if (c, r) == (connections, rows):
                    found = figures[name, c, r]
                    ratios = sorted(a.per_s / b.per_s for a, b in zip(ours, found, strict=True))
                    spread = f"{median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})" if name != "Shipway" else ""
                    lines.append(
                        f"| {c} | {name} | {median(f.per_s for f in found):,.0f} | "
                        f"{median(f.p50_ms for f in found):.2f} | {median(f.p99_ms for f in found):.2f} | {spread} | "
                        f"{sum(f.errors for f in found)} |"
                    )
        lines.append("")
    return lines


def _memory(memory: Mapping[str, float]) -> list[str]:
    lines = ["### Memory after the load", "", "| server | MB |", "|---|---:|"]
    return [*lines, *(f"| {name} | {mb:,.0f} |" for name, mb in memory.items())]
