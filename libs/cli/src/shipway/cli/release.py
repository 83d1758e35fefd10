"""``shipway approve``, ``promote``, ``rollback`` and the rest: a person's hand on a model's releases."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from shipway.cli.output import bad, console, errors, good, line, print_json
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses
from shipway.client import AsyncShipway
from shipway.contract.events import CommandAnswered, OperatorAction


def _command(action: OperatorAction, which: str, what: str) -> Callable[..., None]:
    def run(
        model: Annotated[str, typer.Argument(help="the model's name")],
        version: Annotated[int | None, typer.Argument(help=which, min=1)] = None,
        reason: Annotated[str, typer.Option("--reason", help="why, for the record")] = "no reason given",
        as_json: AsJson = False,
        data: Folder = DEFAULT_FOLDER,
        kafka: Kafka = None,
    ) -> None:
        async def ask() -> CommandAnswered:
            async with AsyncShipway(addresses(data, kafka=kafka)) as shipway:
                return await shipway.command(model, action, version=version, reason=reason)

        answer = asyncio.run(ask())
        if as_json:
            print_json(msgspec.to_builtins(answer))
        else:
            show(answer)
        if not answer.done:
            raise typer.Exit(2)

    signature = "Signed with SHIPWAY__AUTH__OPERATOR_KEY where that is set; exit 2 where it is refused."
    run.__doc__ = f"{what}\n\n{signature}"
    return run


def show(answer: CommandAnswered) -> None:
    """Says what became of a command."""
    if answer.done:
        console.print(line(good("done"), f": {answer.answer}"))
    else:
        errors.print(line(bad("refused"), f": {answer.answer}"))


def _whole_model(action: OperatorAction, what: str) -> Callable[..., None]:
    run = _command(action, "", what)

    def of_model(
        model: Annotated[str, typer.Argument(help="the model's name")],
        reason: Annotated[str, typer.Option("--reason", help="why, for the record")] = "no reason given",
        as_json: AsJson = False,
        data: Folder = DEFAULT_FOLDER,
        kafka: Kafka = None,
    ) -> None:
        run(model, None, reason, as_json, data, kafka)

    of_model.__doc__ = run.__doc__
    return of_model


approve = _command(
    "approve",
    "default: the newest that waits for approval",
    "Let a version that waits for approval be released.",
)
promote = _command(
    "promote",
    "default: the one that is being released",
    "Make the candidate the champion now, without the rest of its canary.",
)
rollback = _command(
    "roll_back",
    "the version to take out; default: the candidate, else the champion",
    "Take a version out of the traffic: the candidate, or the champion, for the last good version.",
)
hold = _command(
    "hold",
    "default: the one that is being released, else the newest that waits",
    "Stop a release where it is; it goes back where it fails, and on when it is resumed.",
)
resume = _command("resume", "default: the one on hold", "Let a release on hold go on.")
freeze = _whole_model("freeze", "The kill switch of a model: no release starts or goes on. Going back stays possible.")
unfreeze = _whole_model("unfreeze", "Let the model's releases go on.")
pin = _command("pin", "default: the champion", "Keep a version loaded, whatever rule would let it go.")
unpin = _command("unpin", "default: the pinned one", "Let a version go by rule again.")
retire = _command("retire", "the version", "Retire a version that is not needed.")
restore = _command(
    "restore", "the version", "Have a retired version loaded again, and pinned, so that it is there to go back to."
)
