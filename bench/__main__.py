"""``make bench``: Shipway side by side with others, on one model, in interleaved rounds; the table is in the docs."""

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
import targets
from growth import measure_growth, measure_log
from load import Figure, measure, wrk
from model import NAME, make_rows
from report import Case, write_report
from running import running, train
from targets import Target

from shipway.bundle.store import read_bundle
from shipway.embedded.ports import choose_ports
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.objects import open_store
from shipway.runtime.settings import ObjectsSettings

# With many rows a request a few connections are full load.
CONNECTIONS_OF_MANY = (1, 32)


async def main() -> None:
    """Measures, and writes docs/performance.md with --write."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32, 1000])
    parser.add_argument("--part", choices=("all", "peers", "growth", "log"), default="all", help="of the measurements")
    parser.add_argument("--form", choices=tuple(targets.FORMS), default="usual", help="of the rows for Shipway")
    parser.add_argument("--write", action="store_true", help="renew the tables and the plot in docs/")
    options = parser.parse_args()
    wrk()
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as name:
        folder = Path(name)
        if options.part in ("all", "peers"):
            await _side_by_side(folder, options)
        if options.part in ("all", "growth"):
            await measure_growth(folder, options.rounds, options.seconds, options.write)
        if options.part in ("all", "log"):
            await measure_log(folder, options.rounds, options.seconds, options.write)


async def _side_by_side(folder: Path, options: argparse.Namespace) -> None:
    async with running(folder / "shipway") as supervisor:
        approval = await train(supervisor, folder / "data")
        store = open_store(ObjectsSettings(url=supervisor.plan.objects_url))
        model_file = folder / "model.txt"
        model_file.write_bytes(read_bundle(store, approval.digest).model_text)
        with ExitStack() as stack:
            everybody = _targets(stack, supervisor, model_file, folder, options.form)
            _agree(everybody)
            figures = await asyncio.to_thread(_rounds, everybody, options, folder)
    write_report(figures, options.write)


def _targets(stack: ExitStack, supervisor: Supervisor, model_file: Path, folder: Path, form: str) -> list[Target]:
    urls = supervisor.state().service_urls
    ports = choose_ports(("bare", "mlserver", "bentoml"), usual={})
    pids = {name: supervisor.pid(name) or 0 for name in ("gateway", "predictor-1")}
    found = [
        Target(
            "Shipway",
            f"{urls['gateway']}/predict/{NAME}",
            targets.FORMS[form],
            targets.of_gateway,
            (pids["gateway"], pids["predictor-1"]),
        ),
        Target(
            "Shipway's predictor",
            f"{urls['predictor-1']}/v2/models/{NAME}/versions/1/infer",
            targets.tensor,
            targets.of_tensor,
            (pids["predictor-1"],),
        ),
        stack.enter_context(targets.bare(model_file, ports["bare"])),
    ]
    if targets.installed("mlserver"):
        found.append(stack.enter_context(targets.mlserver(model_file, ports["mlserver"], folder / "mlserver")))
    if targets.installed("bentoml"):
        found.append(stack.enter_context(targets.bentoml(model_file, ports["bentoml"])))
    return found


def _agree(everybody: list[Target]) -> None:
    rows = make_rows(32)
    wanted = everybody[0].ask(rows)
    for target in everybody[1:]:
        np.testing.assert_allclose(target.ask(rows), wanted, rtol=1e-9, err_msg=target.name)
    print(f"the same answers from {', '.join(target.name for target in everybody)}")


def _rounds(everybody: list[Target], options: argparse.Namespace, folder: Path) -> dict[Case, list[Figure]]:
    figures: dict[Case, list[Figure]] = {}
    for rows in options.rows:
        asked = make_rows(rows)
        for connections in options.connections if rows == 1 else CONNECTIONS_OF_MANY:
            for number in range(options.rounds):
                # Each round begins with another, so that none always comes after the same.
                for target in everybody[number % len(everybody) :] + everybody[: number % len(everybody)]:
                    figure = measure(target, asked, connections, options.seconds, folder)
                    figures.setdefault((target.name, connections, rows), []).append(figure)
            for target in everybody:
                found = figures[target.name, connections, rows]
                errors = sum(f.errors for f in found)
                print(
                    f"{rows:5} rows {connections:4} connections  {target.name:20} "
                    f"{median(f.per_s for f in found):8.0f}/s  p50 {median(f.p50_ms for f in found):7.2f} ms  "
                    f"p99 {median(f.p99_ms for f in found):7.2f} ms  CPU {median(f.cpu_us for f in found):6.0f} µs"
                    + (f"  {errors} errors" if errors else "")
                )
    return figures


if __name__ == "__main__":
    asyncio.run(main())
