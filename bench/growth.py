"""How cost grows: with trees, rows, models, instances; and what a release costs each service. What the log costs."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import psutil
import targets
from load import Figure, measure
from model import make_rows
from report import machine, median, spread, write_section
from running import approve, copies, running, train
from targets import Target

from shipway.bundle.store import read_bundle
from shipway.contract.events import ModelApproved
from shipway.embedded.ports import choose_ports
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.objects import open_store
from shipway.runtime.settings import ObjectsSettings

CONNECTIONS = 32
TREES = (10, 100, 500)
ROWS = (1, 10, 100, 1000)
MODELS = (1, 10, 100)
RESTING_SHARE = 0.2  # of a core
RELEASES = 20


@dataclasses.dataclass
class Growth:
    """Measures on a running Shipway, one kind of growth after another."""

    supervisor: Supervisor
    folder: Path
    rounds: int
    seconds: int

    async def all(self) -> list[str]:
        """The tables."""
        store = open_store(ObjectsSettings(url=self.supervisor.plan.objects_url))
        by_trees = {n: await train(self.supervisor, self.folder / "data", f"trees-{n}", trees=n) for n in TREES}
        (self.folder / "model.txt").write_bytes(read_bundle(store, by_trees[100].digest).model_text)
        lines = [
            f"{machine()}; medians of {self.rounds} rounds, {CONNECTIONS} connections. *CPU* is that of gateway and"
        ]
        lines += ["predictor together, for a request; the load generator's and the log's reader's is not in it.", ""]
        lines += await self._instances("trees-100")
        lines += await self._trees()
        lines += await self._rows("trees-100")
        lines += await self._models(by_trees[100])
        return lines + await self._releases(by_trees[100])

    async def _measured(
        self, model: str, rows: int = 1, predictors: Sequence[str] = ("predictor-1",), paths: Sequence[str] = ()
    ) -> list[Figure]:
        pids = tuple(self.supervisor.pid(name) or 0 for name in ("gateway", *predictors))
        url = f"{self.supervisor.state().gateway_url}/predict/{model}"
        target = Target("Shipway", url, targets.usual, targets.of_gateway, pids)
        asked = make_rows(rows)
        await asyncio.to_thread(measure, target, asked, CONNECTIONS, 1, self.folder, paths)  # warms up
        return [
            await asyncio.to_thread(measure, target, asked, CONNECTIONS, self.seconds, self.folder, paths)
            for _ in range(self.rounds)
        ]

    async def _instances(self, model: str) -> list[str]:
        two = await self._measured(model, predictors=("predictor-1", "predictor-2"))
        await self.supervisor.stop("predictor-2")
        one = await self._measured(model)
        return _table("Instances", "instances", {"1": one, "2": two})

    async def _trees(self) -> list[str]:
        return _table("Trees", "trees of 31 leaves", {str(n): await self._measured(f"trees-{n}") for n in TREES})

    async def _rows(self, model: str) -> list[str]:
        return _table("Rows", "rows a request", {str(n): await self._measured(model, n) for n in ROWS})

    async def _models(self, approval: ModelApproved) -> list[str]:
        names = [f"copy-{n}" for n in range(max(MODELS))]
        found, served = {}, 0
        for count in MODELS:
            await approve(self.supervisor, copies(approval, names[served:count]), within_s=200)
            served = count
            found[str(count)] = await self._measured(names[0], paths=[f"/predict/{name}" for name in names[:count]])
        return _table("Models, asked in turn", "models", found) + await self._models_of_mlserver()

    async def _models_of_mlserver(self) -> list[str]:
        if not targets.installed("mlserver"):
            return []
        found = {}
        for count in MODELS:
            names = [f"copy-{n}" for n in range(count)]
            place = self.folder / f"mlserver-{count}"
            port = choose_ports(("mlserver",), usual={})["mlserver"]
            with targets.mlserver(self.folder / "model.txt", port, place, names) as target:
                paths = [f"/v2/models/{name}/infer" for name in names]
                found[str(count)] = [
                    await asyncio.to_thread(
                        measure, target, make_rows(1), CONNECTIONS, self.seconds, self.folder, paths
                    )
                    for _ in range(self.rounds)
                ]
        return _table("The same with MLServer", "models", found)

    async def log(self, model: str) -> list[str]:
        """On and off in turn, by new processes; the CPU is told apart from what else the machine does."""
        spec = self.supervisor.plan.process("predictor-1")
        off = dataclasses.replace(spec, env={**spec.env, "SHIPWAY_PREDICTOR__PREDICTION_LOG__OFF": "true"})
        found: dict[str, list[Figure]] = {"on": [], "off": []}
        for number in range(self.rounds):
            both = [("off", off), ("on", spec)]
            for name, one in both if number % 2 else reversed(both):
                await self.supervisor.replace(one)
                await self.supervisor.wait_ready(["predictor-1"])
                found[name] += await dataclasses.replace(self, rounds=1)._measured(model)
        lines = _figures("log", found)
        pairs = list(zip(found["on"], found["off"], strict=True))
        rate, cpu = [a.per_s / b.per_s for a, b in pairs], [a.cpu_us / b.cpu_us for a, b in pairs]
        return [*lines, f"On over off, in the same round: requests/s {spread(rate, 2)}, CPU {spread(cpu, 2)}."]

    async def _releases(self, approval: ModelApproved) -> list[str]:
        """One version after another takes over; what that costs each process, without any prediction."""
        names = [spec.name for spec in self.supervisor.plan.processes if spec.name != "predictor-2"]
        await _at_rest(self.supervisor.pid("monitor"))
        before = {name: _cpu_s(self.supervisor.pid(name)) for name in names}
        begun = asyncio.get_running_loop().time()
        for number in range(2, 2 + RELEASES):
            request = f"release-{number}"
            await approve(
                self.supervisor,
                [msgspec.structs.replace(approval, model="copy-0", version=number, request_id=request)],
            )
        took_s = asyncio.get_running_loop().time() - begun
        await asyncio.sleep(took_s)  # the same time again at rest is taken off
        idle = {name: _cpu_s(self.supervisor.pid(name)) for name in names}
        await asyncio.sleep(took_s)
        after = {name: _cpu_s(self.supervisor.pid(name)) for name in names}
        lines = [
            "### A release, to each service",
            "",
            "| process | CPU ms a release | CPU % at rest |",
            "|---|---:|---:|",
        ]
        for name in names:
            rest_s = after[name] - idle[name]
            cost_s = max(0.0, idle[name] - before[name] - 2 * rest_s)
            lines.append(f"| {name} | {1000 * cost_s / RELEASES:.0f} | {100 * rest_s / took_s:.1f} |")
        return [*lines, "", f"{RELEASES} releases of one model, one after another, with {max(MODELS)} models served."]


async def measure_growth(folder: Path, rounds: int, seconds: int, write: bool) -> None:
    """Measures on a Shipway of its own, and writes the section of docs/performance.md where that is asked for."""
    async with running(folder / "growing", predictors=2) as supervisor:
        lines = await Growth(supervisor, folder, rounds, seconds).all()
    print("\n" + "\n".join(lines))
    if write:
        write_section("growth", lines)


async def measure_log(folder: Path, rounds: int, seconds: int, write: bool) -> None:
    """What the prediction log costs, as measure_growth does; in more rounds, as the difference is small."""
    async with running(folder / "logging") as supervisor:
        await train(supervisor, folder / "data", "trees-100", trees=100)
        lines = await Growth(supervisor, folder, 3 * rounds, seconds).log("trees-100")
    lines = [f"{machine()}; medians of {3 * rounds} rounds, {CONNECTIONS} connections.", "", *lines]
    print("\n" + "\n".join(lines))
    if write:
        write_section("log", lines)


def _table(title: str, first: str, found: dict[str, list[Figure]]) -> list[str]:
    lines = [f"### {title}", "", *_figures(first, found)]
    print("\n".join(lines), flush=True)
    return lines


def _figures(first: str, found: dict[str, list[Figure]]) -> list[str]:
    def middle(figures: list[Figure], of: Callable[[Figure], float]) -> float:
        return median(map(of, figures))

    lines = [
        f"| {first} | requests/s | p50 ms | p99 ms | CPU µs | MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, figures in found.items():
        lines.append(
            f"| {name} | {middle(figures, lambda f: f.per_s):,.0f} | {middle(figures, lambda f: f.p50_ms):.2f} | "
            f"{middle(figures, lambda f: f.p99_ms):.2f} | {middle(figures, lambda f: f.cpu_us):,.0f} | "
            f"{middle(figures, lambda f: f.memory_mb):,.0f} |"
        )
        assert not sum(f.errors for f in figures), f"{first} {name}: requests failed"
    return [*lines, ""]


async def _at_rest(reader: int | None) -> None:
    """Waits until the log's reader has read what the load before has left.

    Raises:
        TimeoutError: it has not within ten minutes.
    """
    async with asyncio.timeout(600):
        used_s = RESTING_SHARE
        while used_s >= RESTING_SHARE:
            before = _cpu_s(reader)
            await asyncio.sleep(1)
            used_s = _cpu_s(reader) - before


def _cpu_s(pid: int | None) -> float:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(p.cpu_times().user + p.cpu_times().system for p in processes))
