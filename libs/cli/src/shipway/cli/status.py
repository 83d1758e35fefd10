"""``shipway status``: services, instances, versions and releases at a glance."""

import asyncio
from typing import Any

import httpx
import typer

from shipway.cli.output import DOES_IT_RUN, bad, console, errors, good, line, print_json, share, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Gateway, Monitor, addresses
from shipway.client import Addresses, AsyncShipway, ShipwayError
from shipway.embedded.state import read_state


def status(
    as_json: AsJson = False, data: Folder = DEFAULT_FOLDER, gateway: Gateway = None, monitor: Monitor = None
) -> None:
    """Show what runs, what it holds, and what is being released. Exit 3 when a part does not answer, or refuses to."""
    where = addresses(data, gateway, monitor)
    services = service_urls(data, where)
    found = asyncio.run(_look(where, services))
    if as_json:
        print_json(found)
    else:
        show(found)
    said = [found[part]["error"] for part in ("overview", "instances") if "error" in found[part]]
    for problem in dict.fromkeys(said):
        errors.print(line(bad("incomplete"), f": {problem}"))
    if not any(s["ready"] for s in found["services"]):
        errors.print(DOES_IT_RUN)
    if said or not all(s["ready"] for s in found["services"]):
        raise typer.Exit(3)


def service_urls(folder: Any, where: Addresses) -> dict[str, str]:
    """The base URL of every service that is known of."""
    state = read_state(folder)
    if state is None:
        return {"gateway": where.gateway, "monitor": where.monitor}
    return dict(state.service_urls)


async def readiness(services: dict[str, str]) -> list[dict[str, Any]]:
    """Whether each service answers and is ready, and why not."""

    async def one(client: httpx.AsyncClient, name: str, url: str) -> dict[str, Any]:
        try:
            response = await client.get(f"{url}/readyz")
            body = response.json()
            reasons = body.get("reasons", {}) if isinstance(body, dict) else {}
            return {"name": name, "url": url, "ready": response.status_code == 200, "reasons": reasons}
        except (httpx.HTTPError, ValueError) as err:
            return {"name": name, "url": url, "ready": False, "reasons": {"http": str(err) or type(err).__name__}}

    async with httpx.AsyncClient(timeout=3) as client:
        return list(await asyncio.gather(*(one(client, name, url) for name, url in services.items())))


async def _look(where: Addresses, services: dict[str, str]) -> dict[str, Any]:
    async with AsyncShipway(where, timeout_s=3) as shipway:
        found: dict[str, Any] = {"services": await readiness(services)}
        for name, look in (("overview", shipway.status), ("instances", shipway.instances)):
            try:
                found[name] = await look()
            except ShipwayError as err:
                found[name] = {"error": str(err)}
    return found


def show(found: dict[str, Any]) -> None:
    """Prints what was found, as tables; what could not be asked for has none."""
    services = table("services", "service", "state", "address", "why")
    for s in found["services"]:
        state = good("ready") if s["ready"] else bad("not ready")
        services.add_row(s["name"], state, s["url"], "; ".join(s["reasons"].values()))
    console.print(services)
    if "error" not in found["overview"]:
        models = table("models", "model", ">champion", "release", "traffic")
        for m in found["overview"].get("models", []):
            release = m.get("release") or {}
            rollout = f"version {release['version']}: {release['state']}" if release else ""
            traffic = ", ".join(f"{version}: {share(part)}" for version, part in (m.get("traffic") or {}).items())
            champion = line(str(m.get("champion") or "none"), bad(" degraded") if m.get("degraded") else "")
            models.add_row(m["name"], champion, rollout, traffic)
        console.print(models)
    if "error" not in found["instances"]:
        instances = table("instances", "instance", "address", "state", "holds")
        for i in found["instances"].get("instances", []):
            holds = ", ".join(f"{v['model']} {v['version']} {v['state']}" for v in i.get("versions", []))
            if i.get("only") is not None:
                holds = f"{holds or 'nothing'} (only what its image has)"
            routable = good("routable") if i.get("routable") else bad("out")
            instances.add_row(i["instance"], i.get("url", ""), routable, holds)
        console.print(instances)
