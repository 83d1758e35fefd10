"""``shipway demo``: the whole loop on real flight data, without Docker, or against the stack of docker compose."""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from shipway.cli.data import put_files
from shipway.cli.models import read_model_file
from shipway.cli.output import console, errors
from shipway.cli.stack import TRYING_OUT, running, show_addresses, stop_signal
from shipway.cli.target import DEFAULT_FOLDER, Folder, compose
from shipway.client import Addresses, AsyncShipway, ShipwayError
from shipway.contract.spec import ModelSpec
from shipway.embedded.stack import StackPlan, prepare
from shipway.embedded.state import StackRunning, read_state
from shipway.runtime.lean import spare_pandas
from shipway.runtime.objects import open_store
from shipway.runtime.settings import ObjectsSettings

EXAMPLE = Path(__file__).resolve().parents[5] / "examples" / "flights"


@dataclass(frozen=True)
class Show:
    """What the story is told with; ``flights`` is the folder of the data."""

    example: Path
    flights: Path
    rate: float
    started: float


def demo(
    stay: Annotated[
        bool | None, typer.Option("--stay/--exit", help="keep running at the end until Ctrl-C; default: on a terminal")
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=2000, help="requests a second while traffic runs")] = 100.0,
    against: Annotated[
        str | None, typer.Option(help='"compose": the running stack of docker-compose.yml, instead of an own one')
    ] = None,
    env_file: Annotated[Path, typer.Option(help="the file that docker compose takes its variables from")] = Path(
        ".env"
    ),
    example: Annotated[Path, typer.Option(help="folder of the flights example")] = EXAMPLE,
    data: Folder = DEFAULT_FOLDER,
) -> None:
    """Train, judge, release and serve a model on 336,776 real flights; train again and swap it under traffic."""
    if not (example / "flights.toml").is_file():
        raise ShipwayError(
            f"the flights example is not at {example}; run this in a checkout, or name it with --example"
        )
    show = Show(example, data.resolve() / "flights-data", rate, time.monotonic())
    if against is not None:
        if against != "compose":
            raise typer.BadParameter(f"--against {against!r} must be compose")
        where, objects = compose(env_file)
        well = asyncio.run(_against(where, objects, show))
    else:
        console.print(TRYING_OUT, style="dim")
        folder = data / "demo"
        if read_state(folder) is not None:
            raise StackRunning(f"a demo already runs on {folder}; end it with Ctrl-C or: shipway down --data {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        plan = prepare(folder, predictors=2, durable=False)
        well = asyncio.run(_embedded(plan, show, keep=sys.stdout.isatty() if stay is None else stay))
    if not well:
        raise typer.Exit(1)


async def _embedded(plan: StackPlan, show: Show, *, keep: bool) -> bool:
    stop = stop_signal()
    async with _flights(show) as made, running(plan, stop) as supervisor:
        state = supervisor.state()
        assert state.gateway_url is not None and state.monitor_url is not None, "the demo runs every service"
        where = Addresses(
            gateway=state.gateway_url,
            monitor=state.monitor_url,
            kafka=state.kafka_settings,
        )

        async def spec() -> ModelSpec:
            console.print(await made)
            return _spec(show, f"folder:{show.flights}")

        well = await _told(where, spec, show, stop)
        show_addresses(supervisor)
        if keep:
            console.print("still running; Ctrl-C stops everything. Look around in another terminal with:")
            console.print(f"  shipway status --data {plan.data_folder}")
            await stop.wait()
        console.print("stopping")
    return well


async def _against(where: Addresses, objects: ObjectsSettings, show: Show) -> bool:
    """The story on a stack that keeps its data: the model gets a name that is new to it."""

    async def spec() -> ModelSpec:
        console.print(await made)
        await asyncio.to_thread(list, put_files(open_store(objects), show.flights, "data/flights"))
        found = _spec(show, "objects:data/flights/")
        async with AsyncShipway(where) as shipway:
            known = {model["name"] for model in await shipway.models()}
        names = [found.name, *(f"{found.name}-{n}" for n in range(2, len(known) + 3))]
        return found.model_copy(update={"name": next(name for name in names if name not in known)})

    async with _flights(show) as made:
        return await _told(where, spec, show, stop_signal())


async def _told(where: Addresses, spec: Callable[[], Awaitable[ModelSpec]], show: Show, stop: asyncio.Event) -> bool:
    """Tells the story; a stop interrupts it."""
    async with AsyncShipway(where) as shipway:
        told = asyncio.create_task(_tell(shipway, spec, show))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({told, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not told.done():
            told.cancel()
            raise KeyboardInterrupt
        return await told


async def _tell(shipway: AsyncShipway, spec: Callable[[], Awaitable[ModelSpec]], show: Show) -> bool:
    spare_pandas()
    from shipway.cli.story import tell  # with its Parquet reader, which no other command needs

    return await tell(shipway, await spec(), show.flights, per_second=show.rate, started=show.started)


def _spec(show: Show, source: str) -> ModelSpec:
    spec = read_model_file(show.example / "flights.toml")
    return spec.model_copy(update={"data": spec.data.model_copy(update={"source": source})})


@asynccontextmanager
async def _flights(show: Show) -> "AsyncIterator[asyncio.Task[str]]":
    """The making of the data, beside the start of the stack."""
    making = asyncio.create_task(_make_data(show.example / "make_data.py", show.flights))
    try:
        yield making
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


async def _make_data(program: Path, folder: Path) -> str:
    """Runs the example's own program, beside the start of the stack; gives what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    text = output.decode(errors="replace").strip()
    if process.returncode:
        errors.print(text)
        raise ShipwayError(f"the flight data could not be made (exit code {process.returncode})")
    return text
