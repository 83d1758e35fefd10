"""A gateway of several workers, as processes: one port, one account of metrics, and one that ends is started again."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from bus import Broker
from prometheus_client.parser import text_string_to_metric_families

from shipway.embedded.ports import choose_ports
from shipway.runtime.provision import provision


async def eventually(look: Any, what: str, within_s: float = 60) -> Any:
    async with asyncio.timeout(within_s):
        while True:
            try:
                if found := await look():
                    return found
            except httpx.HTTPError:
                pass  # nobody is there yet
            await asyncio.sleep(0.02)
    raise AssertionError(what)


class Running:
    """A gateway with two workers, and what it says; each request on a connection of its own, and so to any of them."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=5) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def predict(self) -> httpx.Response:
        async with httpx.AsyncClient(timeout=5) as client:
            return await client.post(f"http://127.0.0.1:{self.port}/predict/nobody", json={})

    async def counted(self) -> float:
        families = text_string_to_metric_families((await self.get("/metrics")).text)
        return sum(s.value for f in families for s in f.samples if s.name == "shipway_gateway_requests_total")

    def workers(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children())

    async def both_listen(self) -> bool:
        """Whether both workers have opened the port."""
        listening = [
            worker
            for worker in self.workers()
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == self.port for c in worker.net_connections())
        ]
        return len(listening) == 2


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    broker = Broker(tmp_path / "broker")
    await broker.start()
    await provision(broker.settings)
    (port,) = choose_ports(["workers"], usual={}).values()
    env = os.environ | {
        "SHIPWAY__KAFKA__BOOTSTRAP": broker.settings.bootstrap,
        "SHIPWAY__KAFKA__IDLE_FETCH_PAUSE_MS": "20",
        "SHIPWAY_GATEWAY__WORKERS": "2",
        "SHIPWAY_GATEWAY__HTTP__PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "shipway.gateway", env=env)
    yield Running(process, port)
    if process.returncode is None:
        process.kill()
        await process.wait()
    broker.kill_and_wipe()


async def test_workers_share_port_and_metrics_and_one_that_ends_is_started_again(running: Running) -> None:
    async def alive() -> bool:
        return (await running.get("/livez")).status_code == 200

    await eventually(alive, "the parent answers while the workers start")
    open_to_all = asyncio.create_task(eventually(running.both_listen, "both workers have opened the port"))
    answered: set[int] = set()
    predicted: list[httpx.Response] = []
    while not open_to_all.done():  # each on a connection of its own: none is lost as the parent leaves
        predicted.append(await running.predict())
        answered |= {one.status_code for one in await asyncio.gather(*(running.get("/livez") for _ in range(10)))}
    await open_to_all
    assert answered == {200}
    for early in predicted:
        if early.status_code == 503:
            assert early.headers["retry-after"] == "1" and "the gateway starts" in early.json()["detail"]
        else:  # by a worker, which knows the models: the parent does not, and so denies none
            assert "'nobody' is not served here" in early.json()["detail"]
    assert (await running.get("/readyz")).status_code == 200
    before = await running.counted()
    for _ in range(20):
        assert (await running.predict()).status_code == 404
    assert {await running.counted() for _ in range(6)} == {before + 20}, "whichever is asked"
    first = running.workers()[0]
    first.kill()

    async def again() -> bool:
        return first.pid not in [w.pid for w in running.workers()] and await running.both_listen()

    await eventually(again, "another takes its place")
    assert (await running.predict()).status_code == 404
    assert await running.counted() == before + 21, "what the one that was killed had counted stays counted"
    workers = running.workers()
    running.process.terminate()
    assert await asyncio.wait_for(running.process.wait(), 30) == 0
    assert psutil.wait_procs(workers, timeout=5)[1] == []
