"""The table of faults, and its place in the document."""

import re
from collections.abc import Sequence
from pathlib import Path

from chaos.scenario import Row

BEGIN, END = "<!-- chaos: made by `make chaos` -->", "<!-- end of chaos -->"
HEAD = (
    "| fault | strikes | requests | failed | slowest s | serving again s | loop done s |"
    " lost | doubled | scored twice | other |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
)


def line(row: Row) -> str:
    """One fault's line."""
    other = "; ".join(
        sorted({v.what for v in row.violations if v.kind not in ("lost", "unlogged", "doubled", "failed")})
    )
    cells = (
        row.planned.fault.name,
        f"{row.planned.moment} + {row.planned.delay_s:g} s",
        str(row.requests),
        str(row.failed),
        f"{row.slowest_s:.1f}",
        f"{row.serving_s:.1f}",
        f"{row.loop_s:.1f}",
        str(row.count("lost", "unlogged")),
        str(row.count("doubled")),
        str(row.scored_twice),
        other or ("not steady in time" if any("not within" in p for p in row.problems) else ""),
    )
    return "| " + " | ".join(cells) + " |"


def table(rows: Sequence[Row], seed: int, when: str) -> str:
    """The table, in the order of the faults' names, and what it was made by."""
    lines = [line(row) for row in sorted(rows, key=lambda row: row.planned.fault.name)]
    requests, failed = sum(row.requests for row in rows), sum(row.failed for row in rows)
    said = f"{len(rows)} faults, {requests} requests, {failed} failed; seed {seed}, {when}."
    return "\n".join([said, "", *HEAD, *lines])


def write(document: Path, made: str) -> None:
    """Puts the table between the markers of the document."""
    text = document.read_text()
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    document.write_text(pattern.sub(lambda _: f"{BEGIN}\n{made}\n{END}", text, count=1))
