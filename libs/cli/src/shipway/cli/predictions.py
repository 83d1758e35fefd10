"""``shipway predictions``: the record of what was predicted."""

from datetime import datetime
from typing import Annotated

import typer

from shipway.cli.output import console, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import Shipway

app = typer.Typer(no_args_is_help=True)


@app.callback()
def predictions() -> None:
    """Makes ``history`` a command of its own, though it is the only one."""


@app.command("history")
def history(
    model: Annotated[str, typer.Argument(help="the model's name")],
    day: Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="of this UTC day only")] = None,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """List the Parquet files of a model's predictions in the object store."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.history(model, day.date() if day else None)
    if as_json:
        print_json(found)
        return
    shown = table(f"{model}, predictions", "day", "object", ">records", ">bytes")
    for file in found["files"]:
        shown.add_row(file["day"], file["key"], f"{file['rows']:,}", f"{file['bytes']:,}")
    if found["files"]:
        console.print(shown)
    records = sum(file["rows"] for file in found["files"])
    waiting = f"; {found['waiting_rows']:,} more wait for their file" if found["waiting_rows"] else ""
    console.print(f"{records:,} records in {len(found['files'])} files{waiting}")
