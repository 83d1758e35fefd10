"""``shipway data``: bring Parquet files into the object store, where every trainer and evaluator sees them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from shipway.cli.output import console, print_json
from shipway.cli.target import AsJson, ClientSettings, compose
from shipway.client.errors import ShipwayError
from shipway.runtime.objects import ObjectStore, check_key, open_store

app = typer.Typer(no_args_is_help=True)


def keys_of(folder: Path, prefix: str) -> dict[str, Path]:
    """The Parquet files of a folder (or one file), by the keys that they get under a prefix.

    Raises:
        ShipwayError: there is none. Permanent: a name is no key.
    """
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.parquet"))
    if not files:
        raise ShipwayError(f"{folder} holds no .parquet file")
    base = folder.parent if folder.is_file() else folder
    return {check_key(f"{prefix.strip('/')}/{file.relative_to(base).as_posix()}"): file for file in files}


def put_files(store: ObjectStore, folder: Path, prefix: str) -> Iterator[str]:
    """Stores the files of ``keys_of``, giving each key once its file is there."""
    for key, file in keys_of(folder, prefix).items():
        store.put(key, file.read_bytes())
        yield key


@app.command("put")
def put(
    folder: Annotated[Path, typer.Argument(help="a Parquet file, or a folder of such", exists=True)],
    prefix: Annotated[str, typer.Argument(help="where to, such as data/houses")],
    env_file: Annotated[
        Path | None, typer.Option(help="docker compose's .env, for its store; else SHIPWAY__OBJECTS__* are used")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store Parquet files; a model file then says source = "objects:PREFIX/"."""
    settings = ClientSettings().objects if env_file is None else compose(env_file)[1]
    store = open_store(settings)
    store.probe()
    total = len(keys_of(folder, prefix))
    keys = list(track(put_files(store, folder, prefix), "storing", total, console=console, disable=as_json))
    source = f"objects:{prefix.strip('/')}/"
    if as_json:
        print_json({"keys": keys, "source": source})
    else:
        console.print(f'stored {len(keys)} files; in the model file: source = "{source}"')
