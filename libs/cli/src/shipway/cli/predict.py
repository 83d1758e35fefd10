"""``shipway predict``: rows from the command line, a file or standard input, through the gateway."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from shipway.cli.output import console, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Gateway, addresses
from shipway.client import Prediction, Shipway


def predict(
    model: Annotated[str, typer.Argument(help="the model's name")],
    features: Annotated[
        list[str] | None, typer.Argument(help="one row as name=value ... (value as JSON, else text)")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="rows as JSON (a list, or an object a line); - is standard input"),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="show what each feature contributed to the raw score, the most first")
    ] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    gateway: Gateway = None,
) -> None:
    """Ask for predictions: shipway predict flights carrier=UA distance_miles=1400 ..."""
    if (file is None) == (not features):
        raise typer.BadParameter("give one row as name=value ..., or rows with --file")
    rows = read_rows(file) if file is not None else [parse_row(features or [])]
    with Shipway(addresses(data, gateway)) as shipway:
        answer = shipway.predict(model, rows, explain=explain)
    if as_json:
        print_json(msgspec.to_builtins(answer))
        return
    ranking = any(prediction.score is not None for prediction in answer.predictions)
    titles: tuple[str, ...] = (">answer", ">probability")
    if ranking:
        titles = (">score", ">rank")
    elif all(prediction.value is not None for prediction in answer.predictions):
        titles = (">answer",)
    shown = table(f"{answer.model}, version {answer.version}", "prediction", *titles)
    for prediction in answer.predictions:
        chance = prediction.probability
        if prediction.probabilities is not None and prediction.label is not None:
            chance = prediction.probabilities[prediction.label]
        number = prediction.value if prediction.score is None else prediction.score
        text = prediction.label if prediction.label is not None else f"{number:.6g}"
        beside = str(prediction.rank) if ranking else "" if chance is None else f"{chance:.4f}"
        shown.add_row(prediction.id, text, *([beside] if len(titles) > 1 else []))
    console.print(shown)
    for prediction, row in zip(answer.predictions, rows, strict=True) if explain else ():
        for name, base, contributions in _explained(prediction):
            of_class = f", {name}" if name else ""
            why = table(f"{prediction.id}{of_class}: raw score {base + sum(contributions.values()):.4g}", "", "", ">")
            for feature in sorted(contributions, key=lambda feature: -abs(contributions[feature])):
                given = "" if feature not in row else json.dumps(row[feature])
                why.add_row(feature, given, f"{contributions[feature]:+.4g}")
            why.add_row("base", "", f"{base:+.4g}")
            console.print(why)


def _explained(prediction: Prediction) -> list[tuple[str, float, dict[str, float]]]:
    """Base and contributions, of several classes each after its name."""
    base, contributions = prediction.base, prediction.contributions or {}
    if isinstance(base, dict):
        return [(name, of_class, contributions[name]) for name, of_class in base.items()]
    return [("", base or 0.0, contributions)]


def parse_row(pairs: list[str]) -> dict[str, Any]:
    """A row from ``name=value`` pairs; a value that is not JSON is text."""
    row: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{pair!r} must be name=value")
        try:
            row[name] = json.loads(text)
        except ValueError:
            row[name] = text
    return row


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Rows from a file: a JSON list, one object, or an object a line."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as err:
        raise typer.BadParameter(f"{file}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise typer.BadParameter(f"{file}: {err}") from err
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as err:
            raise typer.BadParameter(f"{file}: neither JSON nor an object a line: {err}") from err
    rows = found if isinstance(found, list) else [found]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise typer.BadParameter(f"{file}: needs one object or more, each a row of feature names and values")
    return rows
