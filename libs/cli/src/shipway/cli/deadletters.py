"""``shipway dead-letters``: what services refused and why; send it again once the cause is mended."""

import asyncio
from typing import Annotated, Any

import typer

from shipway.cli.output import console, line, print_json, strong, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses
from shipway.client.deadletters import Letter, read_letters, redrive
from shipway.client.errors import ShipwayError

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_letters(as_json: AsJson = False, data: Folder = DEFAULT_FOLDER, kafka: Kafka = None) -> None:
    """List the dead letters that Kafka keeps, oldest first."""
    letters = asyncio.run(read_letters(addresses(data, kafka=kafka).kafka))
    if as_json:
        print_json([_described(letter) for letter in letters])
        return
    shown = table("dead letters", "id", "at", "event", "from topic", "reason")
    for letter in letters:
        shown.add_row(
            letter.id, f"{letter.at:%Y-%m-%d %H:%M:%S}", letter.type, letter.content.topic, letter.content.reason[:200]
        )
    console.print(shown if letters else "no dead letters")


@app.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="as the list names it, such as trainer-0-12")],
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Show a dead letter: the whole reason, and the message as it was."""
    [letter] = _chosen(asyncio.run(read_letters(addresses(data, kafka=kafka).kafka)), [letter_id])
    described = _described(letter)
    if as_json:
        print_json(described)
        return
    for name, value in described.items():
        console.print(line(strong(name), ": "), end="")
        console.print(str(value))


@app.command("redrive")
def redrive_letters(
    ids: Annotated[list[str] | None, typer.Argument(help="as the list names them")] = None,
    every: Annotated[bool, typer.Option("--all", help="all of them")] = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Send messages again to where they were; services that have handled one pass it over."""
    if bool(ids) == every:
        raise typer.BadParameter("name the letters, or say --all")
    settings = addresses(data, kafka=kafka).kafka
    letters = asyncio.run(read_letters(settings))
    chosen = letters if every else _chosen(letters, ids or [])
    asyncio.run(redrive(settings, chosen))
    console.print(f"sent again: {len(chosen)}; a letter that is refused again is listed again")


def _chosen(letters: list[Letter], ids: list[str]) -> list[Letter]:
    known = {letter.id: letter for letter in letters}
    if unknown := [name for name in ids if name not in known]:
        raise ShipwayError(f"there is no dead letter {unknown[0]!r}; shipway dead-letters list names them")
    return [known[name] for name in ids]


def _described(letter: Letter) -> dict[str, Any]:
    message = letter.content
    return {
        "id": letter.id,
        "at": letter.at,
        "service": message.service,
        "reason": message.reason,
        "error": message.error,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "key": _text(message.key),
        "headers": {name: _text(value) for name, value in message.headers},
        "value": _text(message.value),
        "whole": letter.whole,
    }


def _text(raw: bytes | None) -> str | None:
    return raw.decode("utf-8", "backslashreplace") if raw is not None else None
