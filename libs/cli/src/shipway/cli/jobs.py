"""``shipway jobs``: trainings and searches on record, stage by stage, with their logs; run a failed one again."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from shipway.cli.output import console, line, print_json, share, strong, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, Trainer, addresses
from shipway.cli.train import show_journey
from shipway.client import AsyncShipway, Journey, Shipway

app = typer.Typer(no_args_is_help=True)
Request = Annotated[str, typer.Argument(help="the training request's id")]


@app.command("list")
def list_jobs(
    model: Annotated[str | None, typer.Option(help="only this model's")] = None,
    state: Annotated[str | None, typer.Option(help="queued, running, completed, failed or cancelled")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="so many at most")] = 20,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    trainer: Trainer = None,
) -> None:
    """List the newest jobs."""
    with Shipway(addresses(data, trainer=trainer)) as shipway:
        jobs = shipway.jobs(model=model, state=state, limit=limit)
    if as_json:
        print_json(jobs)
        return
    shown = table("jobs", "request", "model", "state", "stage", ">done", ">version", "asked", "why")
    for job in jobs:
        shown.add_row(
            job["request_id"],
            job["model"] + ("" if job["origin"] == "training" else f" ({job['origin']})"),
            job["state"],
            job["stage"],
            share(job["fraction"]),
            str(job["version"] or ""),
            job["created_at"][:19].replace("T", " "),
            _why(job)[:120],
        )
    console.print(shown if jobs else "no jobs; ask for a training: shipway train MODEL")


@app.command("show")
def show(request: Request, as_json: AsJson = False, data: Folder = DEFAULT_FOLDER, trainer: Trainer = None) -> None:
    """Show a job, stage by stage."""
    with Shipway(addresses(data, trainer=trainer)) as shipway:
        job = shipway.job(request)
    if as_json:
        print_json(job)
        return
    console.print(line(strong(f"{job['model']}"), f" {job['request_id']}: {job['state']}"))
    if job["message"]:
        console.print(f"  {job['message']}")
    shown = table("", "stage", "state", ">tries", ">seconds", "", "last word")
    for stage in job["stages"]:
        marks = [name for name in ("reused", "late") if stage[name]]
        shown.add_row(
            stage["stage"],
            _state(job, stage),
            f"{stage['attempts']}/{stage['max_attempts']}",
            "" if stage["seconds"] is None else f"{stage['seconds']:.1f}",
            ", ".join(marks),
            stage["message"][:100],
        )
    console.print(shown)
    if trials := [trial for stage in job["stages"] for trial in (stage["result"] or {}).get("trials", [])]:
        console.print(_trials(trials))
    if job["state"] == "failed":
        console.print(f"why: shipway jobs logs {request}; again from there: shipway jobs retry {request}")


@app.command("logs")
def logs(
    request: Request,
    stage: Annotated[str | None, typer.Option(help="of this stage; default: the one that the job came to")] = None,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    trainer: Trainer = None,
) -> None:
    """Print the end of a stage's log, tracebacks included."""
    with Shipway(addresses(data, trainer=trainer)) as shipway:
        found = shipway.job_log(request, stage)
    if as_json:
        print_json(found)
    else:
        console.out(found["log"] or f"nothing was written in the stage {found['stage']}")


@app.command("retry")
def retry(
    request: Request,
    start: Annotated[
        str | None, typer.Option("--from", help="run again from this stage; default: the one that failed")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="follow it until the version serves, or will not")] = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
    trainer: Trainer = None,
) -> None:
    """Run a failed or cancelled job again; signed with SHIPWAY__AUTH__OPERATOR_KEY where that is set.

    It starts at the stage that failed. What the model file's newest declaration changes is run again.
    """

    async def run() -> Journey | None:
        async with AsyncShipway(addresses(data, kafka=kafka, trainer=trainer)) as shipway:
            job = await shipway.job(request)
            if wait and job["state"] in ("failed", "cancelled"):
                return await show_journey(
                    shipway.run_again(job["model"], request, stage=start), "asking for another run"
                )
            await shipway.retry(job["model"], request, stage=start)
            return None

    journey = asyncio.run(run())
    if journey is not None:
        raise typer.Exit(0 if journey.succeeded else 1)
    console.print(line("asked for ", strong(request), f" to be run again; follow it: shipway jobs show {request}"))


def _why(job: dict[str, Any]) -> str:
    """What is said of a job in a line: how its search stands or ended, why it is as it is, or why it was asked for."""
    told = job["state"] != "completed" or job["origin"] == "search"
    return str(job["message"] if told else job["reason"])


def _trials(trials: list[dict[str, Any]]) -> Table:
    names = list(trials[0]["params"])
    shown = table("trials", ">", "state", ">figure", ">rounds", ">seconds", *(f">{name}" for name in names))
    for number, trial in enumerate(trials, 1):
        figure = "" if trial["figure"] is None else f"{trial['figure']:.5g}"
        values = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in trial["params"].values()]
        shown.add_row(
            str(number), trial["state"], figure, str(trial["rounds"] or ""), f"{trial['seconds']:.1f}", *values
        )
    return shown


def _state(job: dict[str, Any], stage: dict[str, Any]) -> str:
    """A stage's state in words: one that waits where the job ended is where it failed."""
    if stage["state"] == "waiting" and job["state"] in ("failed", "cancelled") and stage["stage"] == job["stage"]:
        return str(job["state"])
    return str(stage["state"])
