"""``shipway dead-letters``: what services refused and why; send it again once the cause is mended."""

from typing import Annotated

import typer

from shipway.cli.output import bad, console, dim, errors, line, print_json, strong, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses
from shipway.client import Refused, Shipway

app = typer.Typer(no_args_is_help=True)
Id = Annotated[int, typer.Argument(metavar="ID", help="as the list, or the dashboard, has it", min=1)]


@app.command("list")
def list_letters(
    service: Annotated[str | None, typer.Option("--service", help="refused by this one only")] = None,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """List the dead letters of the last seven days, the newest last."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        letters = shipway.dead_letters(service)
    if as_json:
        print_json(letters)
        return
    shown = table("dead letters", ">id", "at", "refused by", "event", "from topic", "reason", "sent again")
    for one in letters:
        at, again = _minute(one["at"]), one["sent_again_at"]
        sent = f"{_minute(again)} by {one['sent_again_by']}" if again else ""
        shown.add_row(str(one["id"]), at, one["service"], one["type"], one["topic"], one["reason"][:200], sent)
    console.print(shown if letters else "no dead letters")


@app.command("show")
def show(letter: Id, as_json: AsJson = False, data: Folder = DEFAULT_FOLDER, monitor: Monitor = None) -> None:
    """Show a dead letter: the whole reason, and the message as it was."""
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        found = shipway.dead_letter(letter)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        console.print(line(strong(name.replace("_", " ")), ": "), end="")
        console.print(dim("none") if value is None else str(value))


@app.command("redrive")
def redrive(
    letters: Annotated[list[int] | None, typer.Argument(metavar="ID...", help="as the list has them")] = None,
    every: Annotated[bool, typer.Option("--all", help="all that can be, and were not yet")] = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Send messages again to where they were, and put that on record; services that have handled one pass it over."""
    if bool(letters) == every:
        raise typer.BadParameter("name the letters, or say --all")
    with Shipway(addresses(data, monitor=monitor)) as shipway:
        chosen = letters or [
            one["id"] for one in shipway.dead_letters() if one["whole"] and one["sent_again_at"] is None
        ]
        refused = {}
        for one in chosen:
            try:
                shipway.send_again(one)
            except Refused as err:
                refused[one] = str(err)
    console.print(f"sent again: {len(chosen) - len(refused)}; a letter that is refused again is listed again")
    for one, why in refused.items():
        errors.print(line(bad("not sent"), f" {one}: {why}"))
    if refused:
        raise typer.Exit(2)


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")
