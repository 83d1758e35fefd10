"""``shipway forget``: the records of a subject are removed."""

from typing import Annotated

import msgspec
import typer

from shipway.cli.output import console, good, line, print_json
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses
from shipway.client import Shipway


def forget(
    model: Annotated[str, typer.Argument(help="the model's name")],
    subject: Annotated[
        str, typer.Option("--subject", help="whose: the client id, or what stands before a slash in it")
    ],
    reason: Annotated[str, typer.Option("--reason", help="why, for the record")] = "no reason given",
    within_s: Annotated[float, typer.Option("--within", min=1, help="wait so many seconds for the answer")] = 300.0,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Remove a subject's predictions and labels from the history, for good; waits until they are gone.

    Signed with SHIPWAY__AUTH__OPERATOR_KEY where that is set. Versions that were trained on them stay, and are named.
    """
    with Shipway(addresses(data, kafka=kafka)) as shipway:
        gone = shipway.forget(model, subject, reason=reason, answer_within_s=within_s)
    if as_json:
        print_json(msgspec.to_builtins(gone))
        return
    console.print(line(good("gone"), f": {gone.records:,} predictions and {gone.labels:,} labels of {model}"))
    if gone.versions:
        named = ", ".join(map(str, gone.versions))
        console.print(f"trained or judged on the history of that time, and still there: version {named}")
