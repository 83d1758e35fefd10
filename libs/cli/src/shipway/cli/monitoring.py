"""``shipway monitoring``: whether a model's predictions are as usual."""

from typing import Annotated, Any

import typer

from shipway.cli.output import bad, console, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import Shipway

_SIGNS = {"ok": "·", "insufficient": "?", "drift": "!", "alarm": "!"}


def monitoring(
    model: Annotated[str, typer.Argument(help="the model's name")],
    every: Annotated[bool, typer.Option("--all", help="what is as usual too")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Show what is unusual: traffic, errors, latency, answers, inputs, gaps and drift, window by window."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.monitoring(model)
    if as_json:
        print_json(found)
        return
    shown = table(f"{model}, judged to {found['watched_to']}", "version", "of", "windows", "state", "why")
    findings = [one for one in found["findings"] if every or one["alarm"]]
    for one in findings:
        version = str(one["version"]) if one["version"] else "model"
        named = f"{one['kind']} {one['subject']}".strip()
        shown.add_row(version, named, _windows(one), bad("alarm") if one["alarm"] else one["state"], one["reason"])
    if findings:
        console.print(shown)
    usual = len(found["findings"]) - sum(one["alarm"] for one in found["findings"])
    console.print(f"{usual} findings without alarm; {found['late']:,} records came too late for their window")


def _windows(one: dict[str, Any]) -> str:
    """The last windows, the newest at the right."""
    return "".join(_SIGNS.get(past["state"], " ") for past in one["recent"][-12:])
