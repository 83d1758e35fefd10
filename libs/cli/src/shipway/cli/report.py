"""``shipway report`` and ``shipway compare``: how versions were judged, one by one and side by side."""

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from shipway.cli.output import bad, console, good, line, print_json, strong, table, warn
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import Shipway
from shipway.client.errors import ShipwayError

Model = Annotated[str, typer.Argument(help="the model's name")]
_SLICES = 50


def report(
    model: Model,
    version: Annotated[int, typer.Argument(min=1, help="the version")],
    out: Annotated[Path | None, typer.Option("--out", help="write the report's page (HTML) to this file")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="open the report's page in a browser")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Show the evaluation report on a version: every gate with its figure, and the data that it was judged on."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        if out is not None or open_page:
            return _page(shipway.report_page(model, version), out, open_page)
        found = shipway.report(model, version)
    if as_json:
        return print_json(found)
    verdict = good("approved") if found["approved"] else bad("rejected")
    console.print(line(strong(f"{model} version {version}"), ": ", verdict))
    for label in ("reason", "hold"):
        if found.get(label):
            console.print(f"{label}: {found[label]}")
    shown = table("gates", "gate", "", ">figure", ">limit", "why")
    for gate in found["gates"]:
        figures = _figure(gate["figure"]), _figure(gate["limit"])
        shown.add_row(gate["name"], _passed(gate), *figures, gate["reason"])
    console.print(shown)
    for name, window in found.get("data", {}).get("windows", {}).items():
        words = f"{window['rows']:,} rows from {window['from'][:16]} to {window['to'][:16]}"
        console.print(f"{name}: {words}, content {window['content'][:12]}")
    if lived := found.get("data", {}).get("history", {}).get("train"):
        known = f"known {found['data']['as_of'][:16]}"
        labels = f"{lived['labelled']:,} labels of {lived['predictions']:,} predictions, {known}"
        console.print(f"history: {labels}; {lived['exploration_share']:.1%} answered by a candidate")
    if files := found.get("data", {}).get("files"):
        console.print(f"source: {found['data']['source']}, {len(files)} files (--json has their hashes)")
    return None


def compare(
    model: Model,
    a: Annotated[int, typer.Argument(metavar="A", min=1, help="a version")],
    b: Annotated[int, typer.Argument(metavar="B", min=1, help="another version")],
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Show how two versions were judged, side by side: gates, metrics, slices."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.compare(model, a, b)
    if as_json:
        return print_json(found)
    heads = [f"{version}, {verdict}" for version, verdict in zip(found["versions"], found["verdicts"], strict=True)]
    gates = table(f"{model}, gates", "gate", f">{heads[0]}", "", f">{heads[1]}", "")
    for row in found["gates"]:
        cells = [cell for side in (row["a"], row["b"]) for cell in (_gate_figure(side), _passed(side))]
        gates.add_row(row["name"], *cells)
    console.print(gates)
    metrics = table("metrics on the holdout of each", "metric", f">{a}", f">{b}", ">difference")
    for row in found["metrics"]:
        metrics.add_row(row["name"], *_pair(row["a"], row["b"]))
    console.print(metrics)
    if found["slices"]:
        slices = table("slices", "slice", f">{a}", f">{b}", ">difference")
        for row in found["slices"][:_SLICES]:
            slices.add_row(row["name"], *_pair(*(side and side["figure"] for side in (row["a"], row["b"]))))
        console.print(slices)
    if not found["same_holdout"]:
        console.print(line(warn("they were not judged on the same rows"), ": the figures are not of the same exam"))
    return None


def _page(page: str, out: Path | None, open_page: bool) -> None:
    if out is None:
        with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8") as file:
            out = Path(file.name)
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as err:
        raise ShipwayError(f"{out}: {err.strerror}") from err
    console.print(f"written to {out}")
    if open_page and not webbrowser.open(out.resolve().as_uri()):
        raise ShipwayError(f"no browser could be started here; the page is {out}")


def _passed(gate: dict[str, Any] | None) -> Text:
    return Text() if gate is None else good("passed") if gate["passed"] else bad("failed")


def _gate_figure(gate: dict[str, Any] | None) -> str:
    return "" if gate is None else _figure(gate["figure"])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _pair(a: float | None, b: float | None) -> tuple[str, str, str]:
    return _figure(a), _figure(b), "" if a is None or b is None else f"{b - a:+.4g}"
