"""How the command speaks: rich text for people on a terminal, JSON for programs, errors on standard error."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Where there is no terminal to ask, lines are not broken at 80 characters.
# What is printed comes from services, files and people as well, so no text is read as markup: styles are given by
# the functions below.
console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 140)
DOES_IT_RUN = "does it run? shipway up starts it on this machine; shipway doctor says what is missing and what to do"
"""What is said where a part of Shipway does not answer."""
errors = Console(stderr=True, highlight=False, markup=False)


def good(text: str) -> Text:
    """What is as it should be."""
    return Text(text, style="green")


def bad(text: str) -> Text:
    """What failed, or was refused."""
    return Text(text, style="red")


def warn(text: str) -> Text:
    """What wants a look."""
    return Text(text, style="yellow")


def strong(text: str) -> Text:
    """What a line is about."""
    return Text(text, style="bold")


def dim(text: str) -> Text:
    """What a line has besides."""
    return Text(text, style="dim")


def line(*parts: str | Text) -> Text:
    """Texts, one after another, each in its style."""
    return Text.assemble(*parts)


def print_json(data: Any) -> None:
    """One JSON document to standard output, as a program wants it."""
    console.out(json.dumps(data, indent=2, default=str), highlight=False)


def print_json_line(data: Any) -> None:
    """One JSON document on one line."""
    console.out(json.dumps(data, default=str), highlight=False)


def table(title: str, *columns: str) -> Table:
    """An empty table in the command's style; columns that begin with '>' are flush right."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim", title_style="bold")
    for column in columns:
        made.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return made


def share(value: float | None) -> str:
    """A share as a percentage."""
    return "" if value is None else f"{100 * value:.0f} %"


def figures(metrics: dict[str, float]) -> str:
    """Metrics on one line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
