"""The dashboard as the monitor serves it, over any database, on a port of its own: for tests and pictures."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from shipway.contract.envelope import Envelope
from shipway.contract.events import GatewayPresence, Presence
from shipway.monitor.api import add_routes
from shipway.monitor.dashboard.room import add_dashboard
from shipway.monitor.reports import add_report_routes
from shipway.monitor.settings import AuthSettings, DashboardSettings, MonitorSettings
from shipway.runtime.database import Database
from shipway.runtime.guard import Guard
from shipway.runtime.http import Asgi
from shipway.runtime.objects import FolderStore
from shipway.runtime.tokens import by_digest, read_lines


def dashboard(
    database: Database,
    objects: Path,
    *,
    tokens: Path | None = None,
    key: str = "",
    said: Mapping[str, Presence] | None = None,
    trainer: FastAPI | None = None,
    **settings: Any,
) -> Asgi:
    """The monitor's whole app; ``said`` is what instances say of themselves now, ``trainer`` what answers as one."""
    now = datetime.now(UTC)
    heard = {name: Envelope(name, "tests", now, one) for name, one in (said or {}).items()}
    presence: Any = SimpleNamespace(envelopes=heard, values=dict(said or {}), problem=None)
    routes = {"gateway-1": GatewayPresence(gateway="gateway-1", started_at=now, routed={"flights": 7, "churn": 4})}
    speaking = {name: Envelope(name, "tests", now, one) for name, one in routes.items()}
    gateways: Any = SimpleNamespace(envelopes=speaking, values=routes, problem=None)
    auth = AuthSettings(operator_key=SecretStr(key))
    settings |= {"trainer_url": "http://trainer"} if trainer is not None else {}
    monitor = MonitorSettings(auth=auth, dashboard=DashboardSettings(**settings), silent_after_s=3600)
    guard = Guard(auth, by_digest(read_lines(tokens).values()) if tokens is not None else None)
    app, store = FastAPI(), FolderStore(objects)
    service: Any = SimpleNamespace(database=database, relay=SimpleNamespace(wake=lambda: None))
    add_routes(app, database, presence, 3600)
    add_report_routes(app, database, store)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(trainer)) if trainer is not None else httpx.AsyncClient()
    _, whole = add_dashboard(app, service, guard, presence, gateways, store, monitor, client)
    return whole


@asynccontextmanager
async def serving(app: Asgi) -> AsyncIterator[str]:
    """Serves an app on a free port of this machine; gives its address."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
