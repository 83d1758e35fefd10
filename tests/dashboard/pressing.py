"""Pressing the dashboard's buttons without a browser: as its pages do, with a session and their token."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from dashboard.served import dashboard

from shipway.monitor.dashboard.admission import COOKIE, csrf_of
from shipway.runtime.access import Scope
from shipway.runtime.database import Database
from shipway.runtime.tokens import create

OPERATOR_KEY = "k" * 40
ADDRESS = "http://127.0.0.1:8090"


class Pressing:
    """A signed-in visitor. Calling presses a button: ``await press("/models/flights/train", until="2026-03-01")``."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, path: str, **form: Any) -> httpx.Response:
        if form.pop("look", False):
            return await self.look(path)
        return await self._client.post(f"/dashboard{path}", data=form, headers=self._mark)

    async def look(self, path: str) -> httpx.Response:
        """Opens a page."""
        return await self._client.get(path if path.startswith("/dashboard") else f"/dashboard{path}")

    async def send(self, name: str, data: bytes) -> httpx.Response:
        """Sends a file that is to be imported."""
        return await self._client.put(f"/dashboard/imports/{name}", content=data, headers=self._mark)

    @property
    def _mark(self) -> dict[str, str]:
        return {"x-shipway-csrf": csrf_of(self._client.cookies[COOKIE])}


@asynccontextmanager
async def pressing(
    database: Database, folder: Path, scopes: Sequence[Scope] = ("read", "operate"), **how: Any
) -> AsyncIterator[Pressing]:
    """The dashboard, for somebody who is signed in as bob."""
    tokens = folder / f"tokens-{uuid.uuid4().hex}"
    token = create(tokens, "bob", scopes)
    app = dashboard(database, folder, tokens=tokens, key=OPERATOR_KEY, **how)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
        await client.post("/dashboard/sign-in", data={"token": token})
        yield Pressing(client)
