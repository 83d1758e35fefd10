"""``shipway replay``: what a version would have said to the predictions that were made, before it is released."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from shipway.cli.output import console, line, print_json, strong, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, Monitor, addresses, objects
from shipway.client import Shipway
from shipway.client.errors import ShipwayError
from shipway.contract.events import ReplayCompleted
from shipway.runtime.settings import ObjectsSettings

DAYS = 7
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
_OVER = ("champion", "last_good", "standby", "retired")


def replay(
    model: Annotated[str, typer.Argument(help="the model's name")],
    version: Annotated[int | None, typer.Argument(help="the version to ask", min=1)] = None,
    candidate: Annotated[bool, typer.Option("--candidate", help="the newest that never was the champion")] = False,
    begin: Annotated[
        datetime | None, typer.Option("--from", formats=_FORMATS, help=f"predictions from then on, UTC; {DAYS} days")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=_FORMATS, help="and before then, UTC; now")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="the newest so many")] = 10_000,
    env_file: Annotated[
        Path | None, typer.Option(help="docker compose's .env, for its store; else SHIPWAY__OBJECTS__* are used")
    ] = None,
    by_evaluator: Annotated[
        bool, typer.Option("--by-evaluator", help="have the evaluator do it: a signed command, on record")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="why, for the record")] = "no reason given",
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
    kafka: Kafka = None,
) -> None:
    """Replay logged predictions against a version: scores, decisions, quality by labels, and time side by side.

    Reads the object store, here or by the evaluator; the version is scored in a process of its own, with limits, and
    nothing that is served changes.
    """
    if (version is None) != candidate:
        raise ShipwayError("give a version, or --candidate")
    until = end.replace(tzinfo=UTC) if end else datetime.now(UTC)
    since = begin.replace(tzinfo=UTC) if begin else until - timedelta(days=DAYS)
    with Shipway(addresses(data, monitor=monitor, kafka=kafka)) as shipway:
        known = {one["version"]: one for one in shipway.model(model)["versions"] if one["digest"]}
        if version is None:
            version = max((n for n, one in known.items() if one["state"] not in _OVER), default=None)
        if version is None or version not in known:
            raise ShipwayError(f"{model} has no such version; shipway model show {model} lists them")
        if by_evaluator:
            found = _told(shipway.replay(model, version, start=since, end=until, limit=limit, reason=reason))
        else:
            digests = {n: one["digest"] for n, one in known.items()}
            found = _here(objects(data, env_file), model, since, until, limit, digests, version)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _here(
    place: ObjectsSettings,
    model: str,
    since: datetime,
    until: datetime,
    limit: int,
    digests: dict[int, str],
    version: int,
) -> dict[str, Any]:
    from shipway.bundle.replay import Wanted
    from shipway.bundle.replay import replay as run
    from shipway.runtime.objects import open_store
    from shipway.runtime.settings import DataSettings

    wanted = Wanted(model, since, until, limit)
    return run(open_store(place), wanted, digests[version], digests, DataSettings()) | {"version": version}


def _told(completed: ReplayCompleted) -> dict[str, Any]:
    """What the evaluator found, as the same document that is made here."""
    found: dict[str, Any] = msgspec.to_builtins(completed)
    if found["decisions"] is None:
        del found["decisions"]
    found["from"], found["to"] = found.pop("first_at"), found.pop("last_at")
    return found


def _show(found: dict[str, Any]) -> None:
    answered = ", ".join(f"{count:,} by version {n}" for n, count in found["answered_by"].items())
    period = f"{found['from'][:16]} to {found['to'][:16]}"
    console.print(
        line(strong(f"{found['model']} version {found['version']}"), f": {found['rows']:,} predictions of {period}")
    )
    console.print(f"answered {answered}" + "".join(f"; left out: {n:,} {why}" for why, n in found["left_out"].items()))
    shown = table("", "", ">as answered", ">replayed")
    quality = found["quality"]
    for name in quality["logged"]:
        shown.add_row(name, f"{quality['logged'][name]:.4f}", f"{quality['replayed'].get(name, float('nan')):.4f}")
    times = found["latency_ms"]
    for name in times["logged"] or {}:
        shown.add_row(f"ms, {name}", f"{times['logged'][name]:.3f}", f"{(times['replayed'] or {}).get(name, 0):.3f}")
    console.print(shown)
    console.print(
        f"quality is of {quality['labelled']:,} predictions with a label; times as answered are of the instance"
    )
    moved = found["scores"]
    console.print(
        f"scores differ by {moved['mean_absolute']:.4f} on average ({moved['mean']:+.4f} with sign), by"
        f" {moved['p95_absolute']:.4f} for the most of 5 %, by {moved['max_absolute']:.4f} at most"
    )
    if decided := found.get("decisions"):
        moves = ", ".join(f"{one['rows']:,} from {one['from']} to {one['to']}" for one in decided["moves"][:5])
        console.print(
            f"{decided['changed']:,} decisions differ ({decided['share']:.2%}){': ' + moves if moves else ''}"
        )
