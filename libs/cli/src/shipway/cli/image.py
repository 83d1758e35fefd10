"""``shipway image``: a version and its server as one image."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from shipway.cli.output import console, print_json
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses, compose, objects
from shipway.client import Shipway
from shipway.client.errors import ShipwayError
from shipway.client.image import BASE, Recipe, build, check_reference, context_of, write_context


def image(
    model: Annotated[str, typer.Argument(help="the model's name")],
    version: Annotated[int, typer.Argument(min=1, help="the version")],
    out: Annotated[
        Path | None, typer.Option("--out", help="write what docker builds into this folder, new or empty")
    ] = None,
    base: Annotated[str, typer.Option("--base", help="the image of the predictor")] = BASE,
    build_it: Annotated[bool, typer.Option("--build", help="have docker build it, here")] = False,
    tag: Annotated[str | None, typer.Option("--tag", help="the image's name; default: shipway/MODEL:VERSION")] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="docker compose's .env: its monitor, its store; else SHIPWAY__OBJECTS__*")
    ] = None,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Make an image of a version: its bundle and the predictor in one tag. The version is checked as a predictor does.

    Instances of the image join like any other, hold this version only, and need no object store. What they hold, and
    how much traffic they get, follows from the release, as ever.
    """
    from shipway.bundle.serving import servable_files
    from shipway.runtime.objects import open_store

    if out is None and not build_it:
        raise ShipwayError("give --out FOLDER, to write what docker builds, or --build, to have it built")
    where = compose(env_file)[0] if env_file is not None and monitor is None else addresses(data, monitor=monitor)
    with Shipway(where) as shipway:
        known = {one["version"]: one for one in shipway.model(model)["versions"] if one["digest"]}
    if version not in known:
        raise ShipwayError(f"{model} has no such version; shipway model show {model} lists them")
    if known[version]["state"] == "rejected":
        raise ShipwayError(f"version {version} of {model} was rejected, so no instance may ever hold it")
    recipe = Recipe(model, version, known[version]["digest"], base)
    tag = check_reference("--tag", tag or recipe.usual_tag)
    files, manifest = servable_files(open_store(objects(data, env_file)), recipe.digest)
    if manifest.model != model:
        raise ShipwayError(f"the bundle of version {version} is one of {manifest.model!r}, not of {model}")
    context = context_of(recipe, files)
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        write_context(folder, context, manifest.created_at)
        if build_it:
            build(folder, tag, manifest.created_at)
    size = sum(map(len, context.values()))
    if as_json:
        made = {"model": model, "version": version, "digest": recipe.digest, "base": base, "bytes": size}
        return print_json(made | {"folder": str(out) if out else None, "image": tag if build_it else None})
    of = f"{model} version {version} ({recipe.digest[:12]}, {size / 1e6:.1f} MB) on {base}"
    console.print(f"built {tag}: {of}" if build_it else f"written to {out}: {of}")
    if not build_it:
        console.print(f"build it: docker build -t {tag} {out}")
    return None
