"""A Shipway to break: every connection of a service to broker, database or predictor goes through a proxy of ours."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from world import QUICK, World, used

from chaos.clock import Clock, library
from chaos.faults import PREDICTORS
from chaos.proxy import Proxy
from shipway.embedded.ports import HOST, choose_ports
from shipway.embedded.stack import ProcessSpec, StackPlan, prepare
from shipway.embedded.supervisor import Supervisor

DISK_MB = 64
BESIDE = "127.0.0.2"
WITHOUT_DATABASE = ("gateway", *PREDICTORS)


@dataclass
class Stand:
    """A running Shipway with its proxies by connection (``gateway>broker``), and its clocks by process.

    ``disk`` is that of its objects, where it is a small one; there are no clocks where this machine can't make them.
    """

    world: World
    proxies: dict[str, list[Proxy]]
    objects: Path
    disk: Path | None
    clocks: dict[str, Clock]


@asynccontextmanager
async def stand(folder: Path) -> AsyncIterator[Stand]:
    """Starts it, and ends it."""
    plan = prepare(folder, predictors=2, usual_ports={}, durable=False, env=QUICK)
    objects = plan.data_folder / "objects"
    with small_disk(plan.data_folder / "disk") as disk:
        # A link, so that the whole store can be taken away and given back.
        (plan.data_folder / "disk" / "objects").mkdir(parents=True, exist_ok=True)
        objects.symlink_to(plan.data_folder / "disk" / "objects")
        proxies, through = through_proxies(plan)
        clocks = clocks_of(plan)
        through = with_clocks(through, clocks)
        every = list(chain.from_iterable(proxies.values()))
        for proxy in every:
            await proxy.start()
        try:
            async with Supervisor(through) as supervisor:
                await supervisor.wait_ready()
                async with used(supervisor, plan.data_folder, plan.kafka_settings) as world:
                    yield Stand(world, proxies, objects, disk, clocks)
                for proxy in every:
                    await proxy.set("pass")
        finally:
            for proxy in every:
                await proxy.stop()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk that is soon full, mounted on a folder; None where this machine does not let us mount one."""
    folder.mkdir(parents=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def through_proxies(plan: StackPlan) -> tuple[dict[str, list[Proxy]], StackPlan]:
    """The proxies of every connection, and the plan whose services use them."""
    services = [spec for spec in plan.processes if spec.kind == "service"]
    names = [f"{spec.name}>broker" for spec in services]
    names += [f"{spec.name}>postgres" for spec in services if spec.name not in WITHOUT_DATABASE]
    ports = choose_ports([*names, *(f"{name} rows" for name in PREDICTORS)], usual={})
    proxies: dict[str, list[Proxy]] = {}
    for name in names:
        server = name.partition(">")[2]
        proxies[name] = [Proxy(ports[name], plan.process(server).port or 0, kafka=server == "broker")]
    for name in PREDICTORS:
        # A predictor tells one host for both of its ports: ours has the same ports at another address.
        served = (plan.process(name).port or 0, ports[f"{name} rows"])
        proxies[f"gateway>{name}"] = [Proxy(port, port, host=BESIDE) for port in served]
    altered = tuple(_through(spec, plan, ports) for spec in plan.processes)
    return proxies, replace(plan, processes=altered)


def _through(spec: ProcessSpec, plan: StackPlan, ports: dict[str, int]) -> ProcessSpec:
    if spec.kind != "service":
        return spec
    env = {**spec.env, "SHIPWAY__KAFKA__BOOTSTRAP": f"{HOST}:{ports[f'{spec.name}>broker']}"}
    if (port := ports.get(f"{spec.name}>postgres")) is not None:
        direct = f":{plan.process('postgres').port}/"
        env["SHIPWAY__DATABASE__URL"] = plan.database_url.replace(direct, f":{port}/")
    if (port := ports.get(f"{spec.name} rows")) is not None:
        env["SHIPWAY_PREDICTOR__ADVERTISE"] = f"http://{BESIDE}:{spec.port}"
        env["SHIPWAY_PREDICTOR__ROWS_PORT"] = str(port)
    return replace(spec, env=env)


def clocks_of(plan: StackPlan) -> dict[str, Clock]:
    """A clock for every service; none where this machine can't make them."""
    made = library(plan.data_folder)
    if made is None:
        return {}
    services = [spec.name for spec in plan.processes if spec.kind == "service"]
    return {name: Clock(made, plan.data_folder / f"{name}.clock") for name in services}


def with_clocks(plan: StackPlan, clocks: dict[str, Clock]) -> StackPlan:
    """The plan whose services look at these clocks."""
    altered = [replace(s, env={**s.env, **clocks[s.name].env}) if s.name in clocks else s for s in plan.processes]
    return replace(plan, processes=tuple(altered))
