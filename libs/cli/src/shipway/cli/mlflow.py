"""``shipway mlflow``: versions and their evaluations in an MLflow."""

import asyncio
import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from shipway.cli.importing import import_model
from shipway.cli.output import console, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, Monitor, addresses
from shipway.client import AsyncShipway, ShipwayError
from shipway.client.registry import VersionRecord, collect, fetch
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


@app.command("import")
def import_registered(
    model: Annotated[str, typer.Argument(help="the model's name in Shipway; it must be declared")],
    source: Annotated[str, typer.Argument(help="NAME/VERSION or NAME@ALIAS of MLflow's registry")],
    origin: Annotated[
        str, typer.Option("--from", envvar="MLFLOW_TRACKING_URI", help="MLflow's address, or sqlite:///FILE", min=1)
    ],
    signature: Annotated[
        Path | None, typer.Option(help="signature.json; default: the run's artifact of that name", exists=True)
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(help="Parquet of features and of the scores that the model must give for them", exists=True),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="follow it until the version serves, or will not")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Have a version made of a LightGBM model that is registered in MLflow: through every gate, as by shipway import.

    Needs mlflow: pip install 'shipway[mlflow]'.
    """
    files = fetch(origin, source)
    if signature is not None:
        files["signature.json"] = signature.read_bytes()
    if "signature.json" not in files:
        raise ShipwayError(f"the run of {source} has no signature.json; give one with --signature (docs/import.md)")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        text, columns = Path(folder) / "model.txt", Path(folder) / "signature.json"
        reason = f"{source} of MLflow"
        import_model(model, text, columns, golden, reason=reason, wait=wait, as_json=as_json, data=data, kafka=kafka)
