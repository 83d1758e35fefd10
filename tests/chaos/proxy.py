"""A TCP proxy between a client and its server that can refuse, swallow, slow down and half-open connections."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Mode = Literal["pass", "refused", "black hole", "slow", "half-open"]
HOST = "127.0.0.1"
SLOWER_S = 0.15
_CHUNK = 65_536


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    forgotten: bool = False


class Proxy:
    """Listens on ``port`` (of ``host``) and forwards to ``server_port`` of this machine, as ``mode`` says.

    With ``kafka``, the broker's own address in its answers is replaced by the proxy's, so that clients stay with it.
    """

    def __init__(self, port: int, server_port: int, *, host: str = HOST, kafka: bool = False) -> None:
        self.port = port
        self._host = host
        self._server_port = server_port
        self._kafka = kafka
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self.mode: Mode = "pass"

    async def start(self) -> None:
        """Listens, and forwards."""
        await self._listen()
        self._open.set()

    async def stop(self) -> None:
        """Ends every connection."""
        await self._refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def set(self, mode: Mode) -> None:
        """Treats connections that are there, and new ones, in another way."""
        self.mode = mode
        if mode == "refused":
            await self._refuse()
        elif self._listener is None:
            await self._listen()
        if mode == "half-open":
            for connection in self._connections:
                connection.forgotten = True
                connection.server.transport.abort()
        if mode == "black hole":
            self._open.clear()
        else:
            self._open.set()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accepted, self._host, self.port, reuse_address=True)

    def _accepted(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio would log one of its own that is cancelled.
        task = asyncio.create_task(self._serve(from_client, to_client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            connection.client.transport.abort()
            connection.server.transport.abort()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            await self._open.wait()
            from_server, to_server = await asyncio.open_connection(HOST, self._server_port)
        except OSError:
            to_client.transport.abort()
            return
        connection = _Connection(to_client, to_server)
        self._connections.add(connection)
        up = asyncio.create_task(self._forward(connection, from_client, to_server, kafka=False))
        down = asyncio.create_task(self._forward(connection, from_server, to_client, kafka=self._kafka))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.discard(connection)
            for way in (up, down):
                way.cancel()
            to_client.close()
            to_server.close()

    async def _forward(
        self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, kafka: bool
    ) -> None:
        """Forwards one direction until it ends."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while chunk := await (self._frame(source) if kafka else source.read(_CHUNK)):
                await self._open.wait()
                if self.mode == "slow":
                    await asyncio.sleep(SLOWER_S)
                if not connection.forgotten:
                    sink.write(chunk)
                    await sink.drain()
        await self._open.wait()
        if connection.forgotten and sink is connection.client:
            await asyncio.Event().wait()  # nobody tells the client, until it gives up itself

    async def _frame(self, source: asyncio.StreamReader) -> bytes:
        """One whole answer of the broker, with its address replaced by ours."""
        length = await source.readexactly(4)
        body = await source.readexactly(int.from_bytes(length))
        return length + body.replace(_address(self._server_port), _address(self.port))


def _address(port: int) -> bytes:
    """A broker's address inside an answer: the same bytes in every version of the protocol, after the length."""
    return HOST.encode() + port.to_bytes(4)
