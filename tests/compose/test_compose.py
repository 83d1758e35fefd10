"""docker-compose.yml itself, with the images it builds: it comes up, tells the demo's story, scales, and heals."""

import asyncio
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from world import eventually

from shipway.cli.models import read_model_file
from shipway.cli.story import FIRST_UNTIL
from shipway.cli.target import compose
from shipway.cli.traffic import Traffic, rows_after
from shipway.client import Addresses, AsyncShipway
from shipway.embedded.ports import choose_ports

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]
ROOT = Path(__file__).parent.parent.parent
PORTS = ("GATEWAY", "MONITOR", "KAFKA", "OBJECTS", "PROMETHEUS")


class Stack:
    """The stack of docker-compose.yml under a project name and on ports of its own."""

    def __init__(self, env_file: Path) -> None:
        self.env_file = env_file
        self.project = f"shipway-test-{secrets.token_hex(3)}"

    async def run(self, *arguments: str) -> str:
        """Runs docker compose; gives its standard output."""
        command = ("docker", "compose", "-p", self.project, "--env-file", str(self.env_file), *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, f"{' '.join(arguments)}: {err.decode()[-3000:]}"
        return out.decode()

    async def containers(self, service: str) -> list[dict[str, Any]]:
        """The running containers of a service."""
        return [json.loads(line) for line in (await self.run("ps", "--format", "json", service)).splitlines()]

    @property
    def where(self) -> Addresses:
        """Where it is reached."""
        return compose(self.env_file)[0]

    def rows(self) -> list[dict[str, Any]]:
        """Flights of April, once the demo has made its data."""
        spec = read_model_file(ROOT / "examples" / "flights" / "flights.toml")
        return rows_after(self.env_file.parent / ".shipway" / "flights-data", spec, FIRST_UNTIL, 500)

    async def demo(self) -> str:
        """Tells the story."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shipway.cli", "demo", "--against", "compose", "--env-file", str(self.env_file)),
            cwd=self.env_file.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(os.environ, COLUMNS="160"),
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        return out.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The stack, up and healthy; its volumes are removed at the end."""
    env_file = tmp_path_factory.mktemp("compose") / ".env"
    ports = choose_ports(PORTS, usual={})
    lines = re.sub(r"change-me(-too)?", lambda _: secrets.token_hex(12), (ROOT / ".env.example").read_text())
    for name, port in ports.items():
        lines = re.sub(rf"^SHIPWAY_{name}_PORT=.*$", f"SHIPWAY_{name}_PORT={port}", lines, flags=re.MULTILINE)
    env_file.write_text(lines)
    running = Stack(env_file)
    try:
        await running.run("up", "--build", "--wait", "--quiet-pull")
        yield running
    finally:
        await running.run("down", "--volumes", "--timeout", "30")


async def test_the_story_is_told(stack: Stack) -> None:
    said = await stack.demo()
    assert "first prediction" in said
    totals = re.search(r"^all +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)", said, re.MULTILINE)
    assert totals is not None, said
    sent, failed, answered, logged, dropped = (int(n.replace(",", "")) for n in totals.groups())
    assert failed == 0 and sent == answered == logged + dropped > 500


async def test_more_and_fewer_predictors_under_traffic_fail_no_request(stack: Stack) -> None:
    async with AsyncShipway(stack.where) as shipway:
        traffic = Traffic(stack.where.gateway, "flights", stack.rows(), per_second=50)
        sending = asyncio.create_task(traffic.run())

        async def routed(n: int) -> bool:
            found = (await shipway.instances())["instances"]
            return sum(bool(i["routable"]) for i in found) == n

        await stack.run("up", "--scale", "predictor=3", "--wait", "--no-recreate", "predictor")
        await eventually(lambda: routed(3), "the third predictor takes traffic")
        [victim, *_] = await stack.containers("predictor")
        killing = await asyncio.create_subprocess_exec("docker", "kill", victim["ID"])
        await killing.wait()
        await eventually(lambda: routed(2), "the killed one is out")
        await stack.run("up", "--scale", "predictor=2", "--wait", "--no-recreate", "predictor")
        await eventually(lambda: routed(2), "two are left")
        traffic.stop()
        await sending
    assert traffic.counts.failures == 0, traffic.counts
    assert sum(traffic.counts.answered.values()) > 100


async def test_everything_restarted_serves_the_same(stack: Stack) -> None:
    before = await _version(stack)
    await stack.run("restart", "--timeout", "30")
    await stack.run("up", "--wait", "--no-recreate")

    async def same() -> bool:
        return await _version(stack) == before

    await eventually(same, "the champion answers", within_s=120)


async def test_prometheus_sees_every_service(stack: Stack) -> None:
    port = next(line for line in stack.env_file.read_text().splitlines() if line.startswith("SHIPWAY_PROMETHEUS_PORT"))
    url = f"http://127.0.0.1:{port.partition('=')[2]}/api/v1/targets?state=active"

    async def all_up() -> bool:
        async with httpx.AsyncClient() as client:
            targets = (await client.get(url)).json()["data"]["activeTargets"]
        up = {t["labels"]["service"] for t in targets if t["health"] == "up"}
        return up >= {"trainer", "evaluator", "releaser", "predictor", "gateway", "monitor"}

    await eventually(all_up, "every service is scraped")


async def test_nothing_listens_beyond_loopback_and_nobody_is_root(stack: Stack) -> None:
    for line in (await stack.run("ps", "--format", "json")).splitlines():
        container = json.loads(line)
        published = {p["URL"] for p in container["Publishers"] if p["PublishedPort"]}
        assert published <= {"127.0.0.1"}, container
    for service in ("trainer", "evaluator", "releaser", "predictor", "gateway", "monitor"):
        status = await stack.run("exec", "-T", service, "cat", "/proc/1/status")
        assert re.search(r"^Uid:\t10001\t", status, re.MULTILINE), service
        assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE), f"{service} may have capabilities"


async def _version(stack: Stack) -> int:
    async with AsyncShipway(stack.where) as shipway:
        return (await shipway.predict("flights", stack.rows()[:1])).version
