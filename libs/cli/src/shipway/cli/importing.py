"""``shipway import``: a LightGBM model that was trained elsewhere becomes a version, through the same gates."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from shipway.cli.output import bad, console, errors, line, print_json, strong
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses, objects
from shipway.cli.train import ENDED_BADLY, journey_as_json, last_of, parse_time, show_journey
from shipway.client import AsyncShipway, Journey
from shipway.runtime.objects import open_store


def import_model(
    model: Annotated[str, typer.Argument(help="the model's name; it must be declared")],
    file: Annotated[Path, typer.Argument(help="LightGBM's text model (save_model)", exists=True, dir_okay=False)],
    signature: Annotated[
        Path, typer.Option(help="signature.json: the model's columns in order, and its output", exists=True)
    ],
    golden: Annotated[
        Path | None,
        typer.Option(help="Parquet of features and of the scores that the model must give for them", exists=True),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="judge it on the holdout before this time (2013-04-01); default: all data")
    ] = None,
    reason: Annotated[str, typer.Option(help="why, for the record")] = "imported on the command line",
    env_file: Annotated[
        Path | None, typer.Option(help="docker compose's .env, for its store; else the stack's, or SHIPWAY__OBJECTS__*")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="follow it until the version serves, or will not")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Have a version made of a model that was trained elsewhere. With --wait, exit 0 means: the version serves.

    Signed with SHIPWAY__AUTH__OPERATOR_KEY where that is set. docs/import.md says what the files hold.
    """
    moment = parse_time(until) if until else None
    named = {"model.txt": file, "signature.json": signature} | ({"golden.parquet": golden} if golden else {})
    files = {name: path.read_bytes() for name, path in named.items()}
    store = open_store(objects(data, env_file))

    async def run() -> Journey:
        async with AsyncShipway(addresses(data, kafka=kafka)) as shipway:
            journeys = shipway.import_model(model, store, files, until=moment, reason=reason)
            if wait:
                return await last_of(journeys) if as_json else await show_journey(journeys, "asking for an import")
            return await anext(journey async for journey in journeys if journey.state != "requested")

    journey = asyncio.run(run())
    if as_json:
        print_json(journey_as_json(journey))
    elif not wait and journey.state != "failed":
        console.print(line("accepted as request ", strong(journey.request_id), "; follow it: shipway jobs list"))
    elif not wait:
        errors.print(line(bad("failed"), f": {journey.reason}"))
    if journey.state in ENDED_BADLY:
        raise typer.Exit(1)
