"""``shipway levels``: a model's service levels, phase by phase, and what is left of their error budgets."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from shipway.cli.output import bad, console, line, print_json, table, warn
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import Shipway
from shipway.contract.spec import format_duration


def levels(
    model: Annotated[str, typer.Argument(help="the model's name")],
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Show service levels: each phase from request to retirement, requests, the log; error budgets; what is overdue."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.levels(model)
    if as_json:
        print_json(found)
        return
    window = format_duration(timedelta(seconds=found["budget_window_s"]))
    shown = table(f"{model}, the last {window}", "level", "target", "of", "kept", "took", "budget left", "pace")
    for one in found["levels"]:
        total = one["good"] + one["bad"]
        kept = f"{one['good']:,} of {total:,}" if total else "nothing yet"
        left = bad(f"{one['left']:.0%}") if one["left"] <= 0 else f"{one['left']:.0%}"
        shown.add_row(one["name"], _target(one), one["of"], kept, _took(one), left, _pace(one))
    console.print(shown)
    for late in found["overdue"]:
        since = datetime.fromisoformat(late["begun_at"]).astimezone(UTC)
        target = format_duration(timedelta(seconds=late["target_s"]))
        words = f"{late['subject']}, since {since:%Y-%m-%d %H:%M:%S} UTC; {target} are allowed"
        console.print(line(warn("overdue"), f": {late['phase']}, {words}"))
    if found["spent"]:
        does = "no release goes on until there is some again; shipway resume lets them" * found["holds_releases"]
        console.print(line(bad("budget spent"), f": {', '.join(found['spent'])}{'; ' if does else ''}{does}"))


def _target(one: dict[str, Any]) -> str:
    said = "not failed" if one["target_s"] is None else format_duration(timedelta(seconds=one["target_s"]))
    return f"{one['objective']:.4g} in {said}" if one["target_s"] is not None else f"{one['objective']:.4g} {said}"


def _took(one: dict[str, Any]) -> str:
    """Median and 95th percentile."""
    return "" if one["median_s"] is None else f"{one['median_s']:.1f} s, {one['p95_s']:.1f} s"


def _pace(one: dict[str, Any]) -> str:
    return ", ".join(f"{burn['pace']} ({burn['rate']:.1f} times)" for burn in one["burning"])
