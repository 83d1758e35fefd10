"""``shipway mlflow``: versions and their evaluations in an MLflow."""

import asyncio
import dataclasses
from typing import Annotated

import typer

from shipway.cli.output import console, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import AsyncShipway
from shipway.client.registry import VersionRecord, collect
from shipway.client.registry import export as export_records

app = typer.Typer(no_args_is_help=True)


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(help="the model's name")],
    to: Annotated[
        str, typer.Option("--to", envvar="MLFLOW_TRACKING_URI", help="MLflow's address, or sqlite:///FILE", min=1)
    ],
    experiment: Annotated[str | None, typer.Option(help="the experiment; default: shipway/MODEL")] = None,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Write every version that was judged into MLflow: a run with figures and report, and a model that it can load.

    Going there again adds what is new, and renews states. Needs mlflow: pip install 'shipway[mlflow]'.
    """

    async def run() -> list[VersionRecord]:
        async with AsyncShipway(addresses(data, monitor=monitor)) as shipway:
            return await collect(shipway, model)

    done = export_records(asyncio.run(run()), model, to, experiment or f"shipway/{model}")
    if as_json:
        print_json({"model": model, "versions": [dataclasses.asdict(one) for one in done]})
        return
    shown = table(f"{model} in {to}", ">version", "run", ">model version", "")
    for one in done:
        shown.add_row(str(one.version), one.run_id, one.model_version or "", "new" if one.new else "was there")
    console.print(shown)
