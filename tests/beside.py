"""Another process of a service beside those of a running Shipway."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from world import World, eventually

from shipway.embedded.ports import choose_ports
from shipway.embedded.process import end, spawn


@asynccontextmanager
async def beside(running: World, like: str, name: str, *arguments: str, **env: str) -> AsyncIterator[str]:
    """One more process like the one of that name, ready; its URL. It ends well at the end, or the test fails."""
    spec, (port,) = running.supervisor.plan.process(like), choose_ports([name], usual={}).values()
    port_name = f"SHIPWAY_{like.partition('-')[0].upper()}__HTTP__PORT"
    settings: dict[str, str] = {**os.environ, **spec.env, port_name: str(port), **env}
    process = await spawn((*spec.argv, *arguments), running.supervisor.plan.log_file(name), settings)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await eventually(ready, f"{name} is ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        assert await end(process, signal.SIGTERM, 28) == 0
