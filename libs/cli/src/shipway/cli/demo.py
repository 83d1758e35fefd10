"""``shipway demo``: the whole loop on real flight data, on this machine, without Docker."""

import asyncio
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from shipway.cli.models import read_model_file
from shipway.cli.output import console, errors
from shipway.cli.stack import TRYING_OUT, running, show_addresses, stop_signal
from shipway.cli.target import DEFAULT_FOLDER, Folder
from shipway.client import Addresses, AsyncShipway, ShipwayError
from shipway.contract.spec import ModelSpec
from shipway.embedded.stack import StackPlan, prepare
from shipway.embedded.state import StackRunning, read_state
from shipway.runtime.lean import spare_pandas
from shipway.runtime.settings import KafkaSettings

EXAMPLE = Path(__file__).resolve().parents[5] / "examples" / "flights"


def demo(
    stay: Annotated[
        bool | None, typer.Option("--stay/--exit", help="keep running at the end until Ctrl-C; default: on a terminal")
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=2000, help="requests a second while traffic runs")] = 100.0,
    example: Annotated[Path, typer.Option(help="folder of the flights example")] = EXAMPLE,
    data: Folder = DEFAULT_FOLDER,
) -> None:
    """Train, judge, release and serve a model on 336,776 real flights; train again and swap it under traffic."""
    started = time.monotonic()
    if not (example / "flights.toml").is_file():
        raise ShipwayError(
            f"the flights example is not at {example}; run this in a checkout, or name it with --example"
        )
    console.print(TRYING_OUT, style="dim")
    folder = data / "demo"
    if read_state(folder) is not None:
        raise StackRunning(f"a demo already runs on {folder}; end it with Ctrl-C or: shipway down --data {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    plan = prepare(folder, predictors=2, durable=False)
    keep = sys.stdout.isatty() if stay is None else stay
    if not asyncio.run(_demo(plan, example, data.resolve() / "flights-data", rate, keep, started)):
        raise typer.Exit(1)


async def _demo(plan: StackPlan, example: Path, flights: Path, rate: float, keep: bool, started: float) -> bool:
    stop = stop_signal()
    making = asyncio.create_task(_make_data(example / "make_data.py", flights))
    try:
        async with running(plan, stop) as supervisor:
            state = supervisor.state()
            assert state.gateway_url is not None and state.monitor_url is not None, "the demo runs every service"
            where = Addresses(
                gateway=state.gateway_url,
                monitor=state.monitor_url,
                kafka=KafkaSettings(bootstrap=state.kafka, idle_fetch_pause_ms=20),
            )
            async with AsyncShipway(where) as shipway:
                told = asyncio.create_task(
                    _tell(shipway, example, flights, making, lambda: state.service_urls, rate, started)
                )
                stopped = asyncio.create_task(stop.wait())
                await asyncio.wait({told, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not told.done():
                    told.cancel()
                    raise KeyboardInterrupt
                well = await told
            show_addresses(supervisor)
            if keep:
                console.print("still running; Ctrl-C stops everything. Look around in another terminal with:")
                console.print(f"  shipway status --data {plan.data_folder}")
                await stop.wait()
            console.print("stopping")
        return well
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


async def _tell(
    shipway: AsyncShipway,
    example: Path,
    flights: Path,
    making: "asyncio.Task[str]",
    services: Callable[[], dict[str, str]],
    rate: float,
    started: float,
) -> bool:
    spare_pandas()
    from shipway.cli.story import tell  # with its Parquet reader, which no other command needs

    console.print(await making)
    spec = _spec(example / "flights.toml", flights)
    return await tell(shipway, spec, flights, services, per_second=rate, started=started)


def _spec(file: Path, flights: Path) -> ModelSpec:
    spec = read_model_file(file)
    return spec.model_copy(update={"data": spec.data.model_copy(update={"source": f"folder:{flights}"})})


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
