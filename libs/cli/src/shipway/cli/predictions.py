"""``shipway predictions``: the record of what was predicted."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import typer

from shipway.cli.output import bad, console, dim, errors, line, print_json, print_json_line, strong, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Gateway, Kafka, Monitor, addresses
from shipway.client import AsyncShipway, Shipway

app = typer.Typer(no_args_is_help=True)


@app.command("tail")
def tail(
    model: Annotated[str, typer.Argument(help="the model's name")],
    from_start: Annotated[bool, typer.Option("--from-start", help="from the oldest that the broker keeps")] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="end after so many records")] = None,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    gateway: Gateway = None,
    kafka: Kafka = None,
) -> None:
    """Follow a model's predictions as they are logged, until Ctrl-C."""

    async def run() -> None:
        where = addresses(data, gateway=gateway, kafka=kafka)
        async with AsyncShipway(where) as shipway, shipway.tail(model, from_start=from_start) as records:
            if not as_json:
                errors.print("following; Ctrl-C ends it", style="dim")
            seen = 0
            async for record in records:
                if as_json:
                    print_json_line(record)
                else:
                    _show(record)
                seen += 1
                if seen == count:
                    return

    asyncio.run(run())


def _show(record: dict[str, Any]) -> None:
    at = record["at"]
    if record["outcome"] == "answered":
        said = line(" ".join(_short(score) for score in record["scores"] or []))
    else:
        said = line(bad(record["outcome"]), f" {record['reason'] or ''}")
    features = (record["features"] or {}).items()
    console.print(
        dim(f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"),
        "" if record["version"] is None else strong(f"v{record['version']}"),
        record["role"] or "",
        said,
        dim(f"{record['latency_us'] / 1000:.2f} ms"),
        " ".join(f"{name}={_short(value)}" for name, value in features if value is not None),
        dim(record["prediction_id"][:8]),
        soft_wrap=True,
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:80]


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
