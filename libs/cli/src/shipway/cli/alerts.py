"""``shipway alerts``: what is unusual and goes on; who looks after it; what is not to be delivered for a time."""

from typing import Annotated

import typer

from shipway.cli.output import console, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import Shipway

app = typer.Typer(no_args_is_help=True)
Model = Annotated[str | None, typer.Option("--model", help="of this model only")]


@app.command("list")
def list_alerts(
    model: Model = None,
    every: Annotated[bool, typer.Option("--all", help="those that are over too")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """List open alerts, the newest first; each names its page of the playbook."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.alerts(model, ended=every)
    if as_json:
        print_json(found)
        return
    shown = table("alerts", "id", "since", "model", "what", "severity", "state", "why", "what to do")
    for one in found:
        version = f" {one['version']}" if one["version"] else ""
        what = f"{one['kind']} {one['subject']}".strip()
        state = _state(one["ended_at"], one["acked_by"], silenced=one["silenced"])
        since = one["raised_at"][:16].replace("T", " ")
        shown.add_row(
            one["id"][:8], since, one["model"] + version, what, one["severity"], state, one["reason"], one["page"]
        )
    console.print(shown if found else "no alerts")


@app.command("ack")
def acknowledge(
    alert: Annotated[str, typer.Argument(help="its id, or the first letters of it")],
    note: Annotated[str, typer.Option("--note", help="what is done about it")] = "",
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Say that you look after an open alert: it is not told again until it ends."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        alike = [one["id"] for one in shipway.alerts() if one["id"].startswith(alert)]
        if len(alike) > 1:
            raise typer.BadParameter(f"{alert} fits {len(alike)} alerts; give more of the id")
        shipway.acknowledge_alert(alike[0] if alike else alert, note)
    console.print(f"acknowledged: {alike[0] if alike else alert}")


@app.command("silence")
def silence(
    lasts: Annotated[str, typer.Argument(help="how long, such as 2h; 30d at most")],
    model: Model = None,
    kind: Annotated[str | None, typer.Option("--kind", help="of this kind only, such as drift or rare_answer")] = None,
    reason: Annotated[str, typer.Option("--reason", help="why, for others")] = "",
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Keep alerts from being delivered for a time: of a model, of a kind, or all. They are still listed."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        made = shipway.silence_alerts(lasts, model=model, kind=kind, reason=reason)
    console.print(f"silence {made['id']} until {made['until'][:16].replace('T', ' ')} UTC")


@app.command("silences")
def silences(as_json: AsJson = False, data: Folder = DEFAULT_FOLDER, monitor: Monitor = None) -> None:
    """List the silences that last."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.silences()
    if as_json:
        print_json(found)
        return
    shown = table("silences", "id", "model", "kind", "until", "by", "why")
    for one in found:
        until = one["until"][:16].replace("T", " ")
        shown.add_row(str(one["id"]), one["model"] or "all", one["kind"] or "all", until, one["made_by"], one["reason"])
    console.print(shown if found else "no silences")


@app.command("unsilence")
def unsilence(
    silence_id: Annotated[int, typer.Argument(metavar="ID", help="as the list names it")],
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """End a silence now: what is open is delivered."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        shipway.end_silence(silence_id)
    console.print(f"ended: silence {silence_id}")


def _state(ended_at: str | None, acked_by: str | None, *, silenced: bool) -> str:
    if ended_at is not None:
        return "over"
    words = ["open"] + [f"acknowledged by {acked_by}"] * (acked_by is not None) + ["silenced"] * silenced
    return ", ".join(words)
