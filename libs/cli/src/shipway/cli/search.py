"""``shipway search``: look for better parameters, apart from trainings; what is found waits for approval."""

import asyncio
from typing import Annotated

import typer

from shipway.cli.output import bad, console, errors, line, print_json, strong, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses
from shipway.cli.train import journey_as_json, last_of, parse_time, show_journey
from shipway.client import AsyncShipway, Journey
from shipway.contract.spec import parse_duration


def search(
    model: Annotated[str, typer.Argument(help="the model's name")],
    until: Annotated[str | None, typer.Option(help="on the data before this time (2013-04-01); default: all")] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, max=1000, help="trainings to try at most; default: the model file's")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="no trial goes on after that, such as 10m; default: the model file's")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, max=10, help="versions to make of the best; default: the model file's")
    ] = None,
    reason: Annotated[str, typer.Option(help="why, for the record")] = "asked for on the command line",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="follow the trials to their end")] = True,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Search for better parameters. What is found is trained and judged, and waits for shipway approve.

    The model file's section search says what is tried.
    """
    moment = parse_time(until) if until else None
    try:
        limit_s = parse_duration(time_limit).total_seconds() if time_limit else None
    except ValueError as err:
        raise typer.BadParameter(f"--time-limit {time_limit!r}: {err}") from err

    async def run() -> Journey:
        async with AsyncShipway(addresses(data, kafka=kafka)) as shipway:
            journeys = shipway.search(
                model, until=moment, trials=trials, time_limit_s=limit_s, candidates=candidates, reason=reason
            )
            if wait:
                return await last_of(journeys) if as_json else await show_journey(journeys, "asking for a search")
            return await anext(journey async for journey in journeys if journey.state != "requested")

    journey = asyncio.run(run())
    if as_json:
        print_json(journey_as_json(journey))
    elif journey.candidates:
        _show(journey)
    elif journey.state != "failed":
        console.print(line("accepted as request ", strong(journey.request_id), "; follow it: shipway jobs list"))
    elif not wait:
        errors.print(line(bad("failed"), f": {journey.reason}"))
    if journey.state == "failed":
        raise typer.Exit(1)


def _show(journey: Journey) -> None:
    names = list(dict.fromkeys(name for found in journey.candidates for name in found.params))
    shown = table("candidates", "request", f">{journey.metric}", *(f">{name}" for name in names))
    for found in journey.candidates:
        values = [_number(found.params[name]) if name in found.params else "" for name in names]
        shown.add_row(found.request_id, f"{found.figure:.5g}", *values)
    console.print(shown)
    if journey.baseline is not None:
        console.print(f"the model file's own parameters: {journey.metric} {journey.baseline:.5g}")
    console.print(
        f"they are trained and judged now (shipway jobs list --model {journey.model}), "
        f"and wait: shipway approve {journey.model} VERSION"
    )


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
