"""``make swaps``: one version after another takes over under load; what that costs, and how long it takes.

The two bundles are trained by Shipway; from then on the harness says, as the evaluator would, that a next version is
approved, once the one before serves. Every request of the whole time counts, without retries.
"""

import argparse
import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import msgspec
import psutil
from load import wrk
from model import FEATURES, NAME, make_rows, make_spec
from report import write_section

from shipway.client import Addresses, AsyncShipway
from shipway.contract.events import ModelApproved, ReleasePromoted
from shipway.embedded.stack import prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.kafka import Producer
from shipway.runtime.settings import KafkaSettings

INSTANCES = 2
LOOK_S = 0.005


@dataclass
class Load:
    """So many requests a second, each sent when it is due, however long others take; latencies in ms."""

    url: str
    per_s: float
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Sends until cancelled, then waits for what is under way."""
        rows = itertools.cycle([{"row": dict(zip(FEATURES, row, strict=True))} for row in make_rows(100)])
        clock = asyncio.get_running_loop().time
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client, asyncio.TaskGroup() as group:
            due = clock()
            with contextlib.suppress(asyncio.CancelledError):
                while True:
                    group.create_task(self._send(client, next(rows)))
                    due = max(due + 1 / self.per_s, clock() - 1)
                    await asyncio.sleep(max(0.0, due - clock()))

    async def _send(self, client: httpx.AsyncClient, body: object) -> None:
        self.sent += 1
        begun = time.perf_counter()
        try:
            answer = await client.post(self.url, json=body)
        except httpx.HTTPError as err:
            self.failed.append(f"{type(err).__name__} {err}")
        else:
            if answer.status_code != 200:
                self.failed.append(f"{answer.status_code} {answer.text[:200]}")
            self.latencies.append(1000 * (time.perf_counter() - begun))

    def quantile(self, share: float) -> float:
        """A quantile of the latencies."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True)
class Swap:
    """One version's way: milliseconds from its approval."""

    routed_everywhere: float
    promoted: float


async def main() -> None:
    """Measures, and writes docs/performance.md with --write."""
    parser = argparse.ArgumentParser(prog="make swaps", description=__doc__)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--per-s", type=float, default=200.0, help="requests a second")
    parser.add_argument("--full", action="store_true", help="wrk on 16 connections besides: full load")
    parser.add_argument("--trees", type=int, default=300, help="of the model: 300 are 1 MB")
    parser.add_argument("--write", action="store_true", help="renew the section in docs/performance.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipway-swaps-") as name:
        folder = Path(name)
        plan = prepare(folder / "shipway", predictors=INSTANCES, usual_ports={}, durable=False)
        async with Supervisor(plan) as supervisor:
            await supervisor.wait_ready()
            lines = await _measure(supervisor, folder, options)
    print("\n".join(lines))
    if options.write:
        write_section("swaps under full load" if options.full else "swaps", lines)


async def _measure(supervisor: Supervisor, folder: Path, options: argparse.Namespace) -> list[str]:
    state = supervisor.state()
    assert state.gateway_url is not None and state.monitor_url is not None
    kafka = KafkaSettings(bootstrap=state.kafka, idle_fetch_pause_ms=5)
    approvals: list[ModelApproved] = []
    promoted: dict[int, asyncio.Event] = {}
    async with AsyncShipway(Addresses(state.gateway_url, state.monitor_url, kafka)) as shipway:
        await shipway.declare(make_spec(folder / "data", trees=options.trees, min_instances=INSTANCES))
        watching = asyncio.create_task(_watch(shipway, approvals, promoted))
        for _ in range(2):
            journeys = [journey async for journey in shipway.train(NAME)]
            assert journeys[-1].succeeded, journeys[-1]
        load = Load(f"{state.gateway_url}/predict/{NAME}", options.per_s)
        full = _full_load(load.url, folder) if options.full else contextlib.nullcontext()
        loading = asyncio.create_task(load.run())
        pids = [supervisor.pid(f"predictor-{i + 1}") or 0 for i in range(INSTANCES)]
        producer = Producer(kafka, "swaps")
        await producer.start()
        try:
            with full:
                await asyncio.sleep(2)
                load.latencies.clear()
                begun = time.monotonic()
                await asyncio.sleep(max(10.0, options.swaps * 0.1))
                before = load.quantile(0.5), load.quantile(0.99)
                load.latencies.clear()
                swaps, memory = [], [_memory_mb(pids)]
                for number in range(3, 3 + options.swaps):
                    promoted[number] = asyncio.Event()
                    swaps.append(await _swap(state.gateway_url, producer, approvals[number % 2], number, promoted))
                    memory.append(_memory_mb(pids))
                    print(f"version {number}: {swaps[-1]}, {memory[-1]:.0f} MB", file=sys.stderr, flush=True)
                seconds = time.monotonic() - begun
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            watching.cancel()
            await producer.stop()
    routed = sorted(swap.routed_everywhere for swap in swaps)
    late = len(memory) // 2
    return [
        f"| {options.swaps} swaps of a model of {options.trees} trees, {options.per_s:g} requests/s"
        f"{' besides wrk on 16 connections' if options.full else ''} | |",
        "|---|---:|",
        f"| requests in {seconds:.0f} s | {load.sent:,} |",
        f"| failed | {len(load.failed)}{' (' + load.failed[0] + ')' if load.failed else ''} |",
        f"| p50, p99 without swaps | {before[0]:.2f}, {before[1]:.2f} ms |",
        f"| p50, p99 with swaps | {load.quantile(0.5):.2f}, {load.quantile(0.99):.2f} ms |",
        f"| approval to every instance serving: median, most | {median(routed):.0f}, {routed[-1]:.0f} ms |",
        f"| both predictors' memory at the start, half-way, at the end | "
        f"{memory[0]:.0f}, {memory[late]:.0f}, {memory[-1]:.0f} MB |",
    ]


async def _watch(shipway: AsyncShipway, approvals: list[ModelApproved], promoted: dict[int, asyncio.Event]) -> None:
    async with shipway.events() as events:
        async for followed in events:
            payload = followed.event.payload if followed.event else None
            if isinstance(payload, ModelApproved) and len(approvals) < 2:
                approvals.append(payload)
            if isinstance(payload, ReleasePromoted) and payload.version in promoted:
                promoted[payload.version].set()


async def _swap(
    gateway: str, producer: Producer, approval: ModelApproved, number: int, promoted: dict[int, asyncio.Event]
) -> Swap:
    begun = time.perf_counter()
    event = msgspec.structs.replace(approval, version=number, request_id=uuid.uuid4().hex)
    await producer.publish("shipway/evaluator", event)
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client, asyncio.timeout(60):
        while not _routed(await client.get(f"{gateway}/models/{NAME}"), number):
            await asyncio.sleep(LOOK_S)
        routed = 1000 * (time.perf_counter() - begun)
        await promoted[number].wait()
    return Swap(routed, 1000 * (time.perf_counter() - begun))


def _routed(answer: httpx.Response, number: int) -> bool:
    """Whether every instance answers by the version, and all requests go to it."""
    for version in answer.json()["versions"]:
        if version["version"] == number:
            return bool(version["effective_share"] == 1.0 and len(version["instances"]) == INSTANCES)
    return False


@contextlib.contextmanager
def _full_load(url: str, folder: Path):  # type: ignore[no-untyped-def]
    from load import script_of
    from targets import named

    script = folder / "full.lua"
    script.write_text(script_of(named(make_rows(1))))
    process = subprocess.Popen(
        [wrk(), "-t1", "-c16", "-d3600s", "-s", str(script), url], stdout=subprocess.PIPE, text=True
    )
    try:
        yield
    finally:
        process.send_signal(2)
        said = process.communicate()[0]
        print(said, file=sys.stderr)


def _memory_mb(pids: list[int]) -> float:
    return float(sum(psutil.Process(pid).memory_info().rss for pid in pids)) / 1e6


if __name__ == "__main__":
    asyncio.run(main())
