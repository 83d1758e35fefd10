"""A steady load on the gateway that records every request. Open: a slow answer holds up no other request."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import httpx

from chaos.checker import Request

TIMEOUT_S = 10.0


class Load:
    """Sends one row a request, ``per_second`` of them, without retries, and keeps what came of each."""

    def __init__(self, gateway: str, model: str, rows: Sequence[Mapping[str, Any]], per_second: float) -> None:
        self._url = f"{gateway}/predict/{model}"
        self._rows = cycle(rows)
        self._pause_s = 1 / per_second
        self._sending = asyncio.Event()
        self._sending.set()
        self.requests: list[Request] = []
        self.under_way = 0

    def since(self, time_s: float) -> list[Request]:
        """The requests that ended at a time or later."""
        return [request for request in self.requests if request.ended >= time_s]

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Sends nothing meanwhile; entered, no request is under way."""
        self._sending.clear()
        while self.under_way:
            await asyncio.sleep(0.02)
        try:
            yield
        finally:
            self._sending.set()

    async def run(self) -> None:
        """Sends until cancelled; requests under way are then waited for."""
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            clock = asyncio.get_running_loop().time
            due = clock()
            try:
                while True:
                    await self._sending.wait()
                    self.under_way += 1
                    group.create_task(self._send(client, next(self._rows)))
                    due = max(due + self._pause_s, clock() - 1)
                    await asyncio.sleep(max(0.0, due - clock()))
            except asyncio.CancelledError:
                return

    async def _send(self, client: httpx.AsyncClient, row: Mapping[str, Any]) -> None:
        begun = time.time()
        try:
            response = await client.post(self._url, json={"rows": [row]})
        except httpx.HTTPError as err:
            self.requests.append(Request(begun, time.time(), 0, problem=f"{type(err).__name__} {err}".strip()))
        else:
            self.requests.append(_request(begun, response))
        finally:
            self.under_way -= 1


def _request(begun: float, response: httpx.Response) -> Request:
    if response.status_code != 200:
        return Request(begun, time.time(), response.status_code, problem=response.text[:300])
    body = response.json()
    return Request(begun, time.time(), 200, body["version"], body["predictions"][0]["id"])
