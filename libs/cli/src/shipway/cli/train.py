"""``shipway train``: publish a training request, and follow it until the version serves."""

import asyncio
import difflib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from shipway.cli.output import bad, console, errors, figures, good, line, print_json, share, strong, warn
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses
from shipway.client import AsyncShipway, Journey, ShipwayError

ENDED_BADLY = ("failed", "rejected", "rolled back", "superseded")


def train(
    model: Annotated[str, typer.Argument(help="the model's name")],
    until: Annotated[
        str | None, typer.Option(help="train on the data before this time (2013-04-01); default: all")
    ] = None,
    reason: Annotated[str, typer.Option(help="why, for the record")] = "asked for on the command line",
    wait: Annotated[bool, typer.Option("--wait", help="follow it until the version serves, or will not")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Publish a training request. With --wait, exit 0 means: the new version serves."""
    moment = parse_time(until) if until else None

    async def run() -> Journey:
        async with AsyncShipway(addresses(data, kafka=kafka)) as shipway:
            if not wait:
                journey = await shipway.request_training(model, until=moment, reason=reason)
                if (said := doubt(model, await _known(shipway))) is not None:
                    errors.print(line(warn("look again"), f": {said}"))
                return journey
            journeys = shipway.train(model, until=moment, reason=reason)
            return await last_of(journeys) if as_json else await show_journey(journeys)

    journey = asyncio.run(run())
    if as_json:
        print_json(journey_as_json(journey))
    elif not wait and journey.state != "failed":
        asked = journey.request_id
        console.print(line("accepted as request ", strong(asked), f"; follow it: shipway jobs show {asked}"))
    elif not wait:
        errors.print(line(bad("failed"), f": {journey.reason}"))
    if journey.state in ENDED_BADLY:
        raise typer.Exit(1)


async def _known(shipway: AsyncShipway) -> list[str] | None:
    try:
        return [one["name"] for one in await shipway.models()]
    except ShipwayError:
        return None  # a request needs no monitor


def doubt(model: str, known: Sequence[str] | None) -> str | None:
    """Why a model's name may be a mistake, with the one that may be meant; ``known``: None where nobody can say."""
    if known is None or model in known:
        return None
    close = difflib.get_close_matches(model, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else "shipway model declare FILE declares it"
    return f"the monitor knows of no model {model!r} yet; {hint}"


def cancel(
    model: Annotated[str, typer.Argument(help="the model's name")],
    request: Annotated[str, typer.Argument(help="the training request's id")],
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Ask for the end of a training. Signed with SHIPWAY__AUTH__OPERATOR_KEY where that is set."""

    async def run() -> None:
        async with AsyncShipway(addresses(data, kafka=kafka)) as shipway:
            await shipway.cancel(model, request)

    asyncio.run(run())
    console.print(line("asked for the end of request ", strong(request), "; follow it: shipway events"))


def parse_time(text: str) -> datetime:
    """A date or a time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as 2013-04-01 or 2013-04-01T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def journey_as_json(journey: Journey) -> dict[str, Any]:
    """The journey as JSON-like data."""
    built: dict[str, Any] = msgspec.to_builtins(journey)
    return built | {"succeeded": journey.succeeded}


async def last_of(journeys: AsyncIterator[Journey]) -> Journey:
    """The journey at its end."""
    return [journey async for journey in journeys][-1]


async def show_journey(journeys: AsyncIterator[Journey], first: str = "asking for a training") -> Journey:
    """Shows a journey as it goes: a bar for the training, then the gates, then the rollout; gives its end."""
    last = await anext(journeys)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        bar = progress.add_task(first, total=1.0, message="")
        async for journey in journeys:
            for line in news(last, journey):
                progress.console.print(line)
            released = journey.state in ("releasing", "serving")
            progress.update(
                bar,
                description=f"{journey.state}{': ' + journey.stage if journey.stage else ''}",
                completed=journey.share if released else journey.fraction,
                message=journey.reason if released else journey.message,
            )
            last = journey
    return last


def news(before: Journey, after: Journey) -> list[Text]:
    """What is worth a line that stays."""
    lines: list[Text] = []
    if after.state == "accepted":
        lines.append(line(good("accepted"), f"  request {after.request_id}"))
    if after.state == "trained":
        lines.append(
            line(
                good("trained"),
                f"   version {after.version} on {after.training_rows:,} rows; "
                f"on validation {figures(after.training_metrics)}",
            )
        )
    if after.gates and not before.gates:
        versus = (
            f" (champion, version {after.champion_version}: {figures(after.champion_metrics)})"
            if after.champion_version
            else ""
        )
        lines.append(line(good("judged"), f"    {figures(after.metrics)}{versus}"))
        for gate in after.gates:
            mark = good("passed") if gate.passed else bad("failed")
            lines.append(line("          ", mark, f" {gate.name}: {gate.reason}"))
        if after.hold:
            lines.append(line(warn("held"), f"      {after.hold}; shipway approve {after.model}"))
    why = after.reason
    if after.state == "releasing" and (before.stage, before.share) != (after.stage, after.share) and after.reason:
        lines.append(line(good("rollout"), f"   {after.stage}, {share(after.share)} of the traffic: {why}"))
    if after.state == "searched":
        lines.append(line(good("searched"), f"  {before.message}"))
    if after.state == "serving":
        lines.append(line(good("serving"), f"   version {after.version} is the champion: {why}"))
    if after.state in ENDED_BADLY:
        lines.append(line(bad(after.state), f"  {why}"))
    return lines
