"""A running Shipway goes from the release before to this one, service by service, under traffic, and back again."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from world import World, eventually, features_of, make_rows, used

from shipway.cli.traffic import Counts, Traffic
from shipway.contract import events as e
from shipway.contract.topics import SERVICES
from shipway.embedded.ports import choose_ports
from shipway.embedded.stack import ProcessSpec, StackPlan, prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.schema import OWNERS
from upgrade.previous import NoPrevious, Previous, previous

MODEL = "upgraded"
BUILT = {"predictors": 2, "durable": False, "env": {"SHIPWAY__KAFKA__BEAT_S": "1"}}
PREDICTORS = ("predictor-1", "predictor-2")
GATEWAYS = ("gateway", "gateway-2")
SCORED = "shipway_predictions_answered_total"
HALF = ("trainer", "evaluator", "releaser", "predictor-1")
ORDER = (*HALF, "predictor-2", *GATEWAYS, "monitor")
ROWS = [features_of(row) for row in make_rows("binary", n=200, seed=7)]


@dataclass
class Balancer:
    """Steady traffic through every gateway that is in; what it sends is never sent again."""

    urls: dict[str, str]
    counts: list[Counts] = field(default_factory=list)
    _running: dict[str, tuple[Traffic, asyncio.Task[None]]] = field(default_factory=dict)

    def put_in(self, gateway: str) -> None:
        """Sends to this gateway from now on."""
        traffic = Traffic(self.urls[gateway], MODEL, ROWS, per_second=20)
        self.counts.append(traffic.counts)
        self._running[gateway] = traffic, asyncio.create_task(traffic.run())

    async def take_out(self, gateway: str) -> None:
        """Sends nothing to this gateway any more; what was under way is answered."""
        traffic, task = self._running.pop(gateway)
        traffic.stop()
        await task

    async def stop(self) -> None:
        """Takes all out."""
        for gateway in list(self._running):
            await self.take_out(gateway)

    @property
    def answered(self) -> Counter[int]:
        """Answers by version."""
        return sum((c.answered for c in self.counts), Counter())

    @property
    def failed(self) -> Counter[str]:
        """Failures by reason."""
        return sum((c.failed for c in self.counts), Counter())


@dataclass
class Rollout:
    """A Shipway whose services are of one release or the other."""

    world: World
    old: dict[str, ProcessSpec]
    new: dict[str, ProcessSpec]
    heads: dict[str, str]
    balancer: Balancer
    dropped: float = 0

    async def upgrade(self, names: Iterable[str]) -> None:
        """Brings services to this release, one after the other."""
        for name in names:
            await self._replace(self.new[name])

    async def take_back(self, names: Iterable[str]) -> None:
        """Brings services back to the release before, with what they own in the database."""
        for name in names:
            await self._replace(self.old[name], schema=self.heads.get(name))

    async def _replace(self, spec: ProcessSpec, schema: str | None = None) -> None:
        supervisor = self.world.supervisor
        if spec.name in GATEWAYS:
            await self.balancer.take_out(spec.name)
        if spec.name in PREDICTORS:
            self.dropped += await self.world.metric(spec.name, "shipway_predictions_dropped_total")
        if schema is not None:
            await supervisor.stop(spec.name)
            await bring_schema(spec.name, schema, self.new[spec.name])
        await supervisor.replace(spec)
        await supervisor.wait_ready([spec.name], timeout_s=120)
        if spec.name in GATEWAYS:
            self.balancer.put_in(spec.name)

    async def release(self, version: int) -> None:
        """Trains the next version, sees it become the champion, and every predictor score for the gateways."""
        journey = await self.world.train(MODEL, within_s=180)
        assert journey.succeeded, journey
        await self.world.event(e.ReleasePromoted, within_s=120, model=MODEL, version=version)
        before = self.balancer.answered[version]

        async def answers() -> bool:
            return self.balancer.answered[version] > before + 20

        await eventually(answers, f"version {version} answers")
        for predictor in PREDICTORS:
            scored = await self.world.metric(predictor, SCORED)

            async def scores(predictor: str = predictor, scored: float = scored) -> bool:
                return await self.world.metric(predictor, SCORED) > scored

            await eventually(scores, f"{predictor} takes its part")
        assert not self.balancer.failed
        assert not self.world.recorder.payloads(e.DeadLettered)


async def bring_schema(service: str, revision: str, spec: ProcessSpec) -> None:
    """The way back of a schema, as an operator takes it, by the release that knows it."""
    assert service in OWNERS
    argv = [sys.executable, "-m", "shipway.runtime.schema", service, "--to", revision]
    process = await asyncio.create_subprocess_exec(
        *argv, env={**os.environ, **spec.env}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert f"at {revision}" in said


def two_gateways(plan: StackPlan) -> StackPlan:
    """The plan with another gateway."""
    gateway = plan.process("gateway")
    (port,) = choose_ports(["gateway-2"], usual={}).values()
    env = {**gateway.env, "SHIPWAY_GATEWAY__HTTP__PORT": str(port)}
    return replace(plan, processes=(*plan.processes, replace(gateway, name="gateway-2", port=port, env=env)))


@asynccontextmanager
async def before(folder: Path, release: Previous) -> AsyncIterator[Rollout]:
    """A Shipway of the release before, with two gateways."""
    plan = prepare(folder, usual_ports={}, **BUILT)  # type: ignore[arg-type]
    old = release.specs(plan, **BUILT)
    plan = two_gateways(plan)
    new = {spec.name: spec for spec in plan.processes if spec.kind == "service"}
    port = new["gateway-2"].port
    env = {**old["gateway"].env, "SHIPWAY_GATEWAY__HTTP__PORT": str(port)}
    old["gateway-2"] = replace(old["gateway"], name="gateway-2", port=port, env=env)
    assert set(old) == set(new) == set(ORDER)
    plan = replace(plan, processes=tuple(old.get(spec.name, spec) for spec in plan.processes))
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready()
        async with used(supervisor, folder, plan.kafka_settings) as world:
            balancer = Balancer({name: str(new[name].url) for name in GATEWAYS})
            rollout = Rollout(world, old, new, dict(release.heads()), balancer)
            try:
                yield rollout
            finally:
                await balancer.stop()


async def runs_code_of(rollout: Rollout, folder: Path) -> set[str]:
    """The services whose process has its own package from a folder."""
    found = set()
    for name in ORDER:
        pid = rollout.world.supervisor.pid(name)
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if any(v.startswith(b"PYTHONPATH=" + str(folder).encode()) for v in environment):
            found.add(name)
    return found


@pytest.mark.timeout(540)
async def test_release_by_release_there_and_back(tmp_path: Path) -> None:
    try:
        release = previous(tmp_path / "before")
    except NoPrevious as why:
        pytest.skip(f"no release to come from: {why}")
    assert {path.name for path in release.folder.glob("services/*")} == set(SERVICES)
    async with before(tmp_path / "data", release) as rollout:
        world, balancer = rollout.world, rollout.balancer
        assert await runs_code_of(rollout, release.folder) == set(ORDER)
        await world.declare(MODEL)
        assert (await world.train(MODEL)).succeeded
        await world.event(e.ReleasePromoted, model=MODEL, version=1)
        for gateway in GATEWAYS:
            balancer.put_in(gateway)

        await rollout.upgrade(HALF)
        await rollout.release(2)
        await rollout.upgrade(ORDER[len(HALF) :])
        assert await runs_code_of(rollout, release.folder) == set()
        await rollout.release(3)
        await rollout.take_back(ORDER[::-1])
        assert await runs_code_of(rollout, release.folder) == set(ORDER)
        await rollout.release(4)

        await balancer.stop()
        assert not balancer.failed
        assert [p.version for p in world.recorder.payloads(e.ReleasePromoted)] == [1, 2, 3, 4]
        for predictor in PREDICTORS:
            rollout.dropped += await world.metric(predictor, "shipway_predictions_dropped_total")

        async def accounted() -> bool:
            versions = (await world.shipway.usage(MODEL))["versions"]
            logged = sum(usage.get("answered", 0) for usage in versions.values())
            return sum(balancer.answered.values()) == int(logged + rollout.dropped)

        await eventually(accounted, f"{balancer.answered} are logged or counted as dropped", within_s=60)
