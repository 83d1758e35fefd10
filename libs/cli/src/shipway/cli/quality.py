"""``shipway quality``: how good a model's versions are, by the labels that came for their predictions."""

from typing import Annotated, Any

import typer

from shipway.cli.output import console, figures, print_json, share, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import Shipway


def quality(
    model: Annotated[str, typer.Argument(help="the model's name")],
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="of predictions of the last days")] = 30,
    daily: Annotated[bool, typer.Option("--daily", help="day by day")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Show coverage and maturity of labels, and the quality of each version by them."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.quality(model, days)
    if as_json:
        print_json(found)
        return
    # Of a ranking the answers that are judged are those to queries.
    of_queries = any(version.get("queries") is not None for version in found["versions"])
    columns = ["version", "day", ">predictions", ">labelled", ">coverage", *[">queries"] * of_queries, "loss", ""]
    shown = table(f"{model}, last {days} days", *columns)
    for version in found["versions"]:
        shown.add_row(str(version["version"]), "all", *_cells(version, of_queries))
        for day in version["days"] if daily else []:
            shown.add_row("", day["day"], *_cells(day, of_queries))
    console.print(shown if found["versions"] else f"no predictions of {model} in {days} days")
    for version in found["versions"]:
        if version["maturity"]:
            ripening = ", ".join(f"{share(m['share'])} by {_age(m['age_s'])}" for m in version["maturity"])
            console.print(f"version {version['version']}, labelled: {ripening}")
    counts = ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in found["counts"].items() if number)
    console.print(f"labels: {counts or 'none'}")


def _cells(part: dict[str, Any], of_queries: bool) -> list[str]:
    loss = part["loss"]
    words = "" if loss is None else f"{loss['mean']:.4f}"
    if loss is not None and loss["low"] is not None:
        words += f" ({loss['low']:.4f} to {loss['high']:.4f})"
    return [
        f"{part['predictions']:,}",
        f"{part['labelled']:,}",
        share(part["coverage"]),
        *([f"{part.get('queries') or 0:,}"] if of_queries else []),
        words,
        figures(part["metrics"]),
    ]


def _age(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
