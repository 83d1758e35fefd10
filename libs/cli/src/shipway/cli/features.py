"""``shipway features``: look-up tables, from which gateways take what requests do not give."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from shipway.cli.output import bad, console, errors, line, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Gateway, Kafka, addresses
from shipway.cli.train import parse_time
from shipway.client import Shipway, ShipwayError

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="TABLE", help="the look-up table, such as customers")]


@app.command("put")
def put(
    name: Name,
    file: Annotated[Path, typer.Argument(help="rows as .csv or .parquet", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option("--key", help="the column that names the entity of a row")],
    text: Annotated[
        list[str] | None, typer.Option("--text", help="of a CSV: a column of text, whatever it looks like")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="when it was so (2026-04-01); default: now")] = None,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Publish rows, each in the place of what was known of its entity; the other columns are its features."""
    moment: datetime | None = parse_time(at) if at else None
    with Shipway(addresses(data, kafka=kafka)) as shipway:
        count = shipway.put_features(name, read_rows(file, key, text or []), key=key, at=moment)
    if as_json:
        print_json({"table": name, "rows": count})
    else:
        console.print(f"published {count:,} rows of {name}")


@app.command("get")
def get(
    name: Name,
    key: Annotated[str, typer.Argument(help="the entity")],
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    gateway: Gateway = None,
) -> None:
    """Show what a gateway has of an entity."""
    with Shipway(addresses(data, gateway)) as shipway:
        found = shipway.features(name, key)
    if as_json:
        print_json(found)
        return
    console.print(f"{name} {key}, as of {found['at']}", markup=False)
    shown = table("", "feature", "value")
    for feature, value in found["values"].items():
        shown.add_row(feature, "null" if value is None else str(value))
    console.print(shown)


@app.command("forget")
def forget(
    name: Name,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="the entities")],
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Remove entities from a look-up table: gateways forget them at once, Kafka with its next compaction."""
    with Shipway(addresses(data, kafka=kafka)) as shipway:
        shipway.forget_features(name, keys)
    if as_json:
        print_json({"table": name, "forgotten": keys})
    else:
        console.print(f"forgotten: {len(keys):,} of {name}")


@app.command("status")
def status(as_json: AsJson = False, data: Folder = DEFAULT_FOLDER, gateway: Gateway = None) -> None:
    """Show the tables of a gateway, and how full they are. Exit 3 where rows had no room."""
    with Shipway(addresses(data, gateway)) as shipway:
        found = shipway.feature_tables()
    if as_json:
        print_json(found)
    else:
        console.print(f"look-up tables, {found['state']}")
        shown = table("", "table", ">rows")
        for name, rows in sorted(found["tables"].items()):
            shown.add_row(name, f"{rows:,}")
        console.print(shown)
        console.print(
            f"{found['rows']:,} of {found['most_rows']:,} rows, "
            f"{found['bytes'] / 1e6:.1f} of {found['most_bytes'] / 1e6:.0f} MB"
        )
    if found["left_out"]:
        errors.print(line(bad("no room"), f" for {found['left_out']:,} rows; see docs/playbook.md#look-ups"))
        raise typer.Exit(3)


def read_rows(file: Path, key: str, text: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file; of a CSV the columns ``key`` and ``text`` are text, and an empty cell is null.

    Raises:
        ShipwayError: it is no such file, or has no such column.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if file.suffix == ".parquet":
            found = pyarrow.parquet.read_table(file)
        elif file.suffix == ".csv":
            kinds = dict.fromkeys([key, *text], pa.string())
            how = pyarrow.csv.ConvertOptions(column_types=kinds, null_values=[""], strings_can_be_null=True)
            found = pyarrow.csv.read_csv(file, convert_options=how)
        else:
            raise ShipwayError(f"{file}: must be .csv or .parquet")
    except (pa.ArrowException, OSError) as err:
        raise ShipwayError(f"{file}: {err}") from err
    for column in [key, *text]:
        if column not in found.column_names:
            raise ShipwayError(f"{file}: has no column {column!r}; it has {', '.join(found.column_names)[:500]}")
    for batch in found.to_batches():
        yield from batch.to_pylist()
