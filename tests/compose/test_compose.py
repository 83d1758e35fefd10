"""docker-compose.yml itself, with the images it builds: it comes up, tells the demo's story, scales, and heals."""

import asyncio
import json
import os
import re
import secrets
import shlex
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

    def __init__(self, folder: Path, variables: str) -> None:
        self.folder = folder
        self.env_file = folder / ".env"
        for name, port in choose_ports(PORTS, usual={}).items():
            line = f"SHIPWAY_{name}_PORT={port}"
            variables = re.sub(rf"^SHIPWAY_{name}_PORT=.*$", line, variables, flags=re.MULTILINE)
        self.env_file.write_text(variables)
        self.project = f"shipway-test-{secrets.token_hex(3)}"

    async def run(self, *arguments: str) -> str:
        """Runs docker compose; gives its standard output."""
        return await self.shell(shlex.join(("docker", "compose", *arguments)))

    async def shell(self, command: str) -> str:
        """Runs a command in the stack's folder, as its operator would; gives its standard output."""
        stack = {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_ENV_FILES": str(self.env_file)}
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command),
            cwd=self.folder,
            env=dict(os.environ, COMPOSE_FILE=str(ROOT / "docker-compose.yml"), COLUMNS="160", **stack),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, f"{command}: {(out + err).decode()[-3000:]}"
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
        return rows_after(self.folder / ".shipway" / "flights-data", spec, FIRST_UNTIL, 500)

    async def demo(self) -> str:
        """Tells the story."""
        return await self.shell(f"{sys.executable} -m shipway.cli demo --against compose")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The stack, up and healthy; its volumes are removed at the end."""
    variables = re.sub(r"change-me(-too)?", lambda _: secrets.token_hex(12), (ROOT / ".env.example").read_text())
    running = Stack(tmp_path_factory.mktemp("compose"), variables)
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
        await stack.shell(f"docker kill {victim['ID']}")
        await eventually(lambda: routed(2), "the killed one is out")
        await stack.run("up", "--scale", "predictor=2", "--wait", "--no-recreate", "predictor")
        await eventually(lambda: routed(2), "two are left")
        traffic.stop()
        await sending
    assert traffic.counts.failures == 0, traffic.counts
    assert sum(traffic.counts.answered.values()) > 100


async def test_a_version_as_an_image_answers_with_the_store_and_every_other_predictor_away(stack: Stack) -> None:
    """By the page on images, command for command."""
    page, version = (ROOT / "docs" / "how-to" / "model-in-image.md").read_text(), await _version(stack)
    page = page.replace("houses:1", f"flights:{version}").replace("houses 1", f"flights {version}")
    page = page.replace("houses", "flights").replace("docker-compose.yml", str(ROOT / "docker-compose.yml"))
    (beside,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (stack.folder / "flights.yml").write_text(beside)
    make, start = re.findall(r"^\$ (.*)$", page.partition("needs Docker;")[2].partition("```")[0], re.MULTILINE)
    both = start.partition(" up ")[0]
    try:
        await stack.shell(f"{sys.executable} -m shipway.cli{make.removeprefix('shipway')}")
        await stack.shell(start)
        async with AsyncShipway(stack.where) as shipway:

            async def routed() -> list[dict[str, Any]]:
                return [i for i in (await shipway.instances())["instances"] if i["routable"]]

            async def are(whole: int) -> bool:
                found = await routed()
                return (len(found), sum(i["only"] is not None for i in found)) == (whole, 2)

            await eventually(lambda: are(4), "two instances of the image are beside the two predictors")
            traffic = Traffic(stack.where.gateway, "flights", stack.rows(), per_second=50)
            sending = asyncio.create_task(traffic.run())
            await stack.run("stop", "--timeout", "30", "predictor", "objects")
            await eventually(lambda: are(2), "they alone are left")
            one, _ = (await stack.shell(f"{both} ps --quiet flights")).split()
            assert "\nUid:\t10001\t" in await stack.shell(f"docker exec {one} cat /proc/1/status"), "it is root"
            before = {i["started_at"] for i in await routed()}
            await stack.shell(f"docker restart --timeout 30 {one}")

            async def again() -> bool:
                return await are(2) and {i["started_at"] for i in await routed()} != before

            await eventually(again, "one that starts with the store away is back")
            traffic.stop()
            await sending
            assert traffic.counts.failures == 0, traffic.counts
            assert set(traffic.counts.answered) == {version}
    finally:
        await stack.run("up", "--wait", "--no-recreate", "objects", "predictor")
        await stack.shell(f"{both} rm --stop --force flights")
        await stack.shell(f"docker image rm --force shipway/flights:{version}")


async def test_everything_restarted_serves_the_same(stack: Stack) -> None:
    before = await _version(stack)
    await stack.run("restart", "--timeout", "30")
    await stack.run("up", "--wait", "--no-recreate")

    async def same() -> bool:
        return await _version(stack) == before

    await eventually(same, "the champion answers", within_s=120)


async def test_prometheus_sees_every_service(stack: Stack) -> None:
    port = next(line for line in stack.env_file.read_text().splitlines() if line.startswith("SHIPWAY_PROMETHEUS_PORT"))
    url = f"http://127.0.0.1:{port.partition('=')[2]}/api/v1"

    async def all_up() -> bool:
        async with httpx.AsyncClient() as client:
            targets = (await client.get(f"{url}/targets?state=active")).json()["data"]["activeTargets"]
        up = {t["labels"]["service"] for t in targets if t["health"] == "up"}
        return up >= {"trainer", "evaluator", "releaser", "predictor", "gateway", "monitor"}

    await eventually(all_up, "every service is scraped")
    async with httpx.AsyncClient() as client:
        groups = (await client.get(f"{url}/rules")).json()["data"]["groups"]
    assert {group["name"] for group in groups} == {"shipway-services", "shipway-versions", "shipway-predictions"}


async def test_nothing_listens_beyond_loopback_and_nobody_is_root(stack: Stack) -> None:
    for line in (await stack.run("ps", "--format", "json")).splitlines():
        container = json.loads(line)
        published = {p["URL"] for p in container["Publishers"] if p["PublishedPort"]}
        assert published <= {"127.0.0.1"}, container
    for service in ("trainer", "evaluator", "releaser", "predictor", "gateway", "monitor"):
        status = await stack.run("exec", "-T", service, "cat", "/proc/1/status")
        assert re.search(r"^Uid:\t10001\t", status, re.MULTILINE), service
        assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE), f"{service} may have capabilities"


async def test_a_backup_serves_the_same_in_a_new_stack(stack: Stack, tmp_path: Path) -> None:
    """By the operator's guide, command for command."""
    guide = (ROOT / "docs" / "operations.md").read_text()
    backup, restore = (
        re.findall(r"^\$ (.*)$", guide.partition(f"## {title}\n")[2].partition("\n## ")[0], re.MULTILINE)
        for title in ("Backup", "Restore")
    )
    assert (len(backup), len(restore)) == (2, 5)
    for command in backup:
        await stack.shell(command)
    before = await _version(stack)
    row = stack.rows()[:1]
    async with AsyncShipway(stack.where) as shipway:
        scored = (await shipway.predict("flights", row)).predictions[0].probability
    await stack.run("stop", "--timeout", "30")
    other = Stack(tmp_path, stack.env_file.read_text())
    for name in ("shipway.dump", "objects.tar"):
        (stack.folder / name).rename(other.folder / name)
    try:
        for command in restore:
            await other.shell(command)
        async with AsyncShipway(other.where) as shipway:

            async def answers() -> bool:
                answer = await shipway.predict("flights", row)
                return (answer.version, answer.predictions[0].probability) == (before, scored)

            await eventually(answers, "the same version gives the same score", within_s=120)
            assert (await shipway.model("flights"))["champion"] == before
    finally:
        await other.run("down", "--volumes", "--timeout", "5")


async def _version(stack: Stack) -> int:
    async with AsyncShipway(stack.where) as shipway:
        return (await shipway.predict("flights", stack.rows()[:1])).version
