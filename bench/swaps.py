"""``make swaps``: one version after another takes over under load; what that costs, and how long it takes.

The two bundles are trained by Shipway; from then on the harness says, as the evaluator would, that a next version is
approved, once the one before serves. Every request of the whole time counts, without retries.
"""

import argparse
import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import psutil
from load import counts, script_of, wrk
from model import FEATURES, NAME, make_rows, make_spec
from report import write_section
from steady import Connection, beside, connected
from targets import named

from shipway.client import Addresses, AsyncShipway
from shipway.client.follow import following
from shipway.contract.events import ModelApproved, ReleasePromoted
from shipway.contract.topics import EVALUATION_EVENTS, RELEASE_EVENTS
from shipway.embedded.stack import prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.kafka import Producer
from shipway.runtime.settings import KafkaSettings

INSTANCES = 2
LOOK_S = 0.005


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
    parser.add_argument("--every", type=float, default=0.0, help="seconds from one approval to the next; 0: at once")
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
        write_section(_section(options), lines)


def _section(options: argparse.Namespace) -> str:
    if options.full:
        return "swaps under full load"
    return "swaps with time between" if options.every else "swaps"


async def _measure(supervisor: Supervisor, folder: Path, options: argparse.Namespace) -> list[str]:
    state = supervisor.state()
    assert state.gateway_url is not None and state.monitor_url is not None
    kafka = state.kafka_settings
    approvals: list[ModelApproved] = []
    promoted: dict[int, asyncio.Event] = {}
    async with AsyncShipway(Addresses(state.gateway_url, state.monitor_url, kafka)) as shipway:
        await shipway.declare(make_spec(folder / "data", trees=options.trees, min_instances=INSTANCES))
        watching = asyncio.create_task(_watch(kafka, approvals, promoted))
        for _ in range(2):
            journeys = [journey async for journey in shipway.train(NAME)]
            assert journeys[-1].succeeded, journeys[-1]
        bodies = [{"row": dict(zip(FEATURES, row, strict=True))} for row in make_rows(100)]
        url = f"{state.gateway_url}/predict/{NAME}"
        full: contextlib.AbstractContextManager[list[int]] = (
            _full_load(url, folder) if options.full else contextlib.nullcontext([])
        )
        pids = [supervisor.pid(f"predictor-{i + 1}") or 0 for i in range(INSTANCES)]
        producer = Producer(kafka, "swaps")
        await producer.start()
        looks = await connected(state.gateway_url)
        try:
            async with beside(url, bodies, options.per_s) as load:
                with full as busy:
                    await asyncio.sleep(2)
                    await load.measured()
                    begun = time.monotonic()
                    await asyncio.sleep(max(10.0, options.swaps * 0.1))
                    without = await load.measured()
                    swaps, memory = [], [_memory_mb(pids)]
                    for number in range(3, 3 + options.swaps):
                        due = time.monotonic() + options.every
                        promoted[number] = asyncio.Event()
                        swaps.append(await _swap(looks, producer, approvals[number % 2], number, promoted))
                        memory.append(_memory_mb(pids))
                        print(f"version {number}: {swaps[-1]}, {memory[-1]:.0f} MB", file=sys.stderr, flush=True)
                        await asyncio.sleep(max(0.0, due - time.monotonic()))
                    during = await load.end()
                    seconds = time.monotonic() - begun
        finally:
            watching.cancel()
            await producer.stop()
            looks.close()
    failed = without.failed + during.failed
    routed = sorted(swap.routed_everywhere for swap in swaps)
    late = len(memory) // 2
    return [
        f"| {options.swaps} swaps of a model of {options.trees} trees, {options.per_s:g} requests/s"
        f"{' besides wrk on 16 connections' if options.full else ''}"
        f"{f', one every {options.every:g} s' if options.every else ''} | |",
        "|---|---:|",
        f"| requests in {seconds:.0f} s | {without.sent + during.sent:,} |",
        f"| failed | {len(failed)}{' (' + failed[0] + ')' if failed else ''} |",
        *([f"| of wrk: answered, failed | {busy[0]:,}, {busy[1]} |"] if busy else []),
        f"| p50, p99 without swaps | {without.p50:.2f}, {without.p99:.2f} ms |",
        f"| p50, p99 with swaps | {during.p50:.2f}, {during.p99:.2f} ms |",
        f"| p99 with swaps over that without | {during.p99 / without.p99:.2f} |",
        f"| approval to every instance serving: median, most | {median(routed):.0f}, {routed[-1]:.0f} ms |",
        f"| both predictors' memory at the start, half-way, at the end | "
        f"{memory[0]:.0f}, {memory[late]:.0f}, {memory[-1]:.0f} MB |",
    ]


async def _watch(kafka: KafkaSettings, approvals: list[ModelApproved], promoted: dict[int, asyncio.Event]) -> None:
    async with following(kafka, [EVALUATION_EVENTS, RELEASE_EVENTS]) as events:
        async for followed in events:
            payload = followed.event.payload if followed.event else None
            if isinstance(payload, ModelApproved) and len(approvals) < 2:
                approvals.append(payload)
            if isinstance(payload, ReleasePromoted) and payload.version in promoted:
                promoted[payload.version].set()


async def _swap(
    looks: Connection,
    producer: Producer,
    approval: ModelApproved,
    number: int,
    promoted: dict[int, asyncio.Event],
) -> Swap:
    begun = time.perf_counter()
    event = msgspec.structs.replace(approval, version=number, request_id=uuid.uuid4().hex)
    await producer.publish("shipway/evaluator", event)
    async with asyncio.timeout(60):
        await promoted[number].wait()
        told = 1000 * (time.perf_counter() - begun)
        # Not before it is said: looking all the time takes of the cores that are measured.
        while not _routed(await _versions(looks), number):
            await asyncio.sleep(LOOK_S)
    return Swap(1000 * (time.perf_counter() - begun), told)


async def _versions(looks: Connection) -> list[dict[str, Any]]:
    """What the gateway's table has of the model, by plain HTTP as well."""
    status, body = await looks.get(f"/models/{NAME}")
    if status != 200:
        raise RuntimeError(f"GET /models/{NAME}: {status} {body[:200]!r}")
    versions: list[dict[str, Any]] = msgspec.json.decode(body)["versions"]
    return versions


def _routed(versions: list[dict[str, Any]], number: int) -> bool:
    """Whether every instance answers by the version, and all requests go to it."""
    for version in versions:
        if version["version"] == number:
            return bool(version["effective_share"] == 1.0 and len(version["instances"]) == INSTANCES)
    return False


@contextlib.contextmanager
def _full_load(url: str, folder: Path) -> Iterator[list[int]]:
    """wrk on 16 connections meanwhile; at the end the list has its answers and its failures."""
    script = folder / "full.lua"
    script.write_text(script_of(named(make_rows(1))))
    process = subprocess.Popen(
        [wrk(), "-t1", "-c16", "-d3600s", "-s", str(script), url], stdout=subprocess.PIPE, text=True
    )
    counted: list[int] = []
    try:
        yield counted
    finally:
        process.send_signal(signal.SIGINT)
        counted += counts(process.communicate()[0])


def _memory_mb(pids: list[int]) -> float:
    return float(sum(psutil.Process(pid).memory_info().rss for pid in pids)) / 1e6


if __name__ == "__main__":
    asyncio.run(main())
