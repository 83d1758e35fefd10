"""``shipway up`` and ``shipway down``: the embedded stack on a data folder that survives restarts."""

import asyncio
import os
import signal
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from shipway.cli.dashboard import dashboard_url
from shipway.cli.output import console, errors, good, line, print_json, table, warn
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder
from shipway.client import ShipwayError
from shipway.contract.topics import SERVICES
from shipway.embedded.stack import External, StackPlan, prepare
from shipway.embedded.state import born, read_state
from shipway.embedded.supervisor import Supervisor

TRYING_OUT = "This embedded stack is for trying out and developing; in production use Kafka, PostgreSQL and S3."
DOWN_WITHIN_S = 180.0
"""The services end first, and then their database and broker."""


def up(
    only: Annotated[
        str | None, typer.Option(help=f"only these services, comma-separated, of {', '.join(SERVICES)}")
    ] = None,
    predictors: Annotated[int, typer.Option(min=1, max=64, help="instances of the predictor")] = 2,
    port: Annotated[list[str] | None, typer.Option(help="a process's port, as gateway=8080; may be repeated")] = None,
    kafka: Annotated[
        str | None, typer.Option(help="host:port of a Kafka to use instead of the embedded broker")
    ] = None,
    postgres: Annotated[str | None, typer.Option(help="URL of a PostgreSQL to use instead of the embedded one")] = None,
    objects: Annotated[
        str | None,
        typer.Option(help="file:///folder or s3://bucket; S3 keys in SHIPWAY__OBJECTS__ENDPOINT, ACCESS_KEY ..."),
    ] = None,
    data: Folder = DEFAULT_FOLDER,
) -> None:
    """Start Shipway on this machine and keep it running until Ctrl-C (or shipway down)."""
    external = External(kafka=kafka, database_url=postgres, objects={"URL": objects} if objects else None)
    plan = prepare(
        data,
        services=chosen_services(only),
        predictors=predictors,
        ports=chosen_ports(port or []),
        external=external,
    )
    if not (kafka and postgres):
        console.print(TRYING_OUT, style="dim")
    asyncio.run(_run(plan))


async def _run(plan: StackPlan) -> None:
    stop = stop_signal()
    async with running(plan, stop) as supervisor:
        show_addresses(supervisor)
        console.print("Ctrl-C stops it; in another terminal: shipway status, shipway events, shipway model declare ...")
        await stop.wait()
        console.print("stopping")


class running:  # noqa: N801  used as a context, like a function
    """The plan's processes, all ready, shown as they become so; ended when left. A stop ends the wait."""

    def __init__(self, plan: StackPlan, stop: asyncio.Event) -> None:
        self._supervisor = Supervisor(plan, self._heard)
        self._stop = stop
        self._begun = time.monotonic()
        self._live = Live(console=console, transient=True, refresh_per_second=8)

    async def __aenter__(self) -> Supervisor:
        await self._supervisor.__aenter__()
        try:
            with self._live:
                await self._ready_or_stopped()
        except BaseException:
            await self._supervisor.stop_all()
            raise
        seconds = time.monotonic() - self._begun
        console.print(line(good("ready"), f" in {seconds:.1f} s: {', '.join(self._supervisor.states())}"))
        return self._supervisor

    async def __aexit__(self, *_: object) -> None:
        await self._supervisor.stop_all()

    async def _ready_or_stopped(self) -> None:
        ready = asyncio.create_task(self._supervisor.wait_ready())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not ready.done():
            ready.cancel()
            raise KeyboardInterrupt
        await ready

    def _heard(self, _name: str, _state: str) -> None:
        self._live.update(self._states())

    def _states(self) -> Table:
        shown = Table.grid(padding=(0, 2))
        for name, state in self._supervisor.states().items():
            shown.add_row(f"  {name}", good(state) if state == "ready" else warn(state))
        return shown


def stop_signal() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, for a clean stop. A second signal interrupts at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked, number)
    return stop


def show_addresses(supervisor: Supervisor) -> None:
    """Where to look."""
    state = supervisor.state()
    shown = table("addresses", "what", "where")
    if state.gateway_url:
        shown.add_row("predictions", f"{state.gateway_url}/predict/MODEL  (API: {state.gateway_url}/docs)")
    if state.monitor_url:
        shown.add_row("dashboard", dashboard_url(state.monitor_url))
        shown.add_row("models and history", f"{state.monitor_url}/api/models  (API: {state.monitor_url}/docs)")
    shown.add_row("Kafka", state.kafka)
    shown.add_row("logs", str(supervisor.plan.data_folder / "logs"))
    console.print(shown)


def chosen_services(only: str | None) -> Collection[str]:
    """The services of a comma-separated list; all when there is none."""
    return SERVICES if only is None else [name.strip() for name in only.split(",") if name.strip()]


def chosen_ports(pairs: list[str]) -> Mapping[str, int]:
    """Ports by process name from ``name=port`` pairs."""
    ports = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        if not number.isdigit() or not 1 <= int(number) <= 65535:
            raise typer.BadParameter(f"--port {pair!r} must be NAME=PORT, such as gateway=8080")
        ports[name] = int(number)
    return ports


def down(as_json: AsJson = False, data: Folder = DEFAULT_FOLDER) -> None:
    """Stop the stack that runs on the data folder; its data stays."""
    state = read_state(data)
    if state is None:
        if as_json:
            print_json({"stopped": False, "reason": "no stack runs"})
        else:
            console.print(f"no stack runs on {data}")
        return
    with suppress(ProcessLookupError):
        os.kill(state.supervisor_pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_WITHIN_S
    while born(state.supervisor_pid) == state.supervisor_born:
        if time.monotonic() > deadline:
            raise ShipwayError(f"the stack (pid {state.supervisor_pid}) did not stop in {DOWN_WITHIN_S:.0f} s")
        time.sleep(0.1)
    if as_json:
        print_json({"stopped": True})
    else:
        errors.print(f"stopped the stack on {data}")
