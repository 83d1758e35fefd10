"""``shipway model``: declare a model by its file, list models, show one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from shipway.cli.output import bad, console, errors, figures, good, line, print_json, strong, table, warn
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Gateway, Kafka, Monitor, addresses
from shipway.client import Shipway
from shipway.client.errors import ShipwayError
from shipway.contract.spec import ModelSpec, parse_toml, to_builtins

app = typer.Typer(no_args_is_help=True)


def read_model_file(path: Path) -> ModelSpec:
    """The model file's spec; a relative data folder in it is looked for beside the file.

    Raises:
        InvalidSpec: names every wrong field. ShipwayError: the file can't be read.
    """
    try:
        spec = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        raise ShipwayError(f"{path}: {err}") from err
    kind, _, place = (spec.data.files or "").partition(":")
    if kind != "folder" or Path(place).is_absolute():
        return spec
    folder = f"folder:{(path.resolve().parent / place).resolve()}"
    named = "base" if spec.data.from_history else "source"
    return spec.model_copy(update={"data": spec.data.model_copy(update={named: folder})})


def missing_data(spec: ModelSpec) -> str | None:
    """Which field names a folder or file that is not on this machine; the trainer's may be another one."""
    kind, _, place = (spec.data.files or "").partition(":")
    if kind != "folder" or Path(place).exists():
        return None
    field = "base" if spec.data.from_history else "source"
    return f"data.{field}: there is nothing at {place} on this machine; a training needs it where the trainer runs"


@app.command("declare")
def declare(
    file: Annotated[Path, typer.Argument(help="the model file (TOML)", exists=True, dir_okay=False)],
    check: Annotated[bool, typer.Option("--check", help="only check the file, declare nothing")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Check a model file, and declare the model. Declaring it again changes it from the next training on."""
    spec = read_model_file(file)
    if not check:
        with Shipway(addresses(data, kafka=kafka)) as shipway:
            shipway.declare(spec)
    if (lacking := missing_data(spec)) is not None:
        errors.print(line(warn("look again"), f": {lacking}"))
    if as_json:
        print_json(to_builtins(spec))
        return
    kinds = ", ".join(f"{n} {f.type}" for n, f in list(spec.features.items())[:4])
    done = "is fine" if check else "declared"
    more = ", ..." if len(spec.features) > 4 else ""
    rest = f"{len(spec.features)} features ({kinds}{more}), data {spec.data.source}"
    console.print(
        line(good(spec.name), f" {done}: {spec.target.kind} target ", strong(spec.target.column), f", {rest}")
    )
    if not check:
        console.print(f"next: shipway train {spec.name} --wait")


@app.command("list")
def list_models(as_json: AsJson = False, data: Folder = DEFAULT_FOLDER, monitor: Monitor = None) -> None:
    """List the models, with what serves."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        models = shipway.models()
    if as_json:
        print_json(models)
        return
    shown = table("models", "model", ">champion", ">versions", "description")
    for model in models:
        champion = model.get("champion")
        shown.add_row(
            model["name"], str(champion or "none yet"), str(model.get("version_count", 0)), model.get("description", "")
        )
    console.print(shown if models else "no models yet; declare one: shipway model declare FILE.toml")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="the model's name")],
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
    gateway: Gateway = None,
) -> None:
    """Show a model: its versions with every gate, and its traffic."""
    with Shipway(addresses(data, gateway, monitor)) as shipway:
        model = shipway.model(name)
        usage = shipway.usage(name)
    if as_json:
        print_json(model | {"usage": usage})
        return
    shown = table(name, ">version", "state", "figures", ">answered", ">failed", "why")
    used: dict[str, dict[str, Any]] = usage.get("versions", {})
    for version in model["versions"]:
        counts = used.get(str(version["version"]), {})
        shown.add_row(
            str(version["version"]),
            version["state"],
            figures(version.get("metrics") or {}),
            str(counts.get("answered", 0)),
            str(counts.get("failed", 0)),
            version.get("reason") or "",
        )
    console.print(shown)
    for version in model["versions"]:
        for gate in version.get("gates") or []:
            mark = good("passed") if gate["passed"] else bad("failed")
            console.print(line(f"  version {version['version']}: {gate['name']} ", mark, f": {gate['reason']}"))
