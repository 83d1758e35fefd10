"""Clients that send slowly, or without end, over real sockets: they are let go, and the others are served meanwhile."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn

from shipway.runtime import patience
from shipway.runtime.direct import Direct, Exchange, serving
from shipway.runtime.http import ClientGone, read_body, respond
from shipway.runtime.patience import PatientServer
from shipway.runtime.settings import HttpSettings

HTTP = HttpSettings(head_timeout_s=0.3, body_timeout_s=0.6)
WHOLE = b"POST /x/m HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nok"
SLOW = {
    "first byte": b"",
    "no request": b"\r\n\r\n",
    "line": b"POST /x/m HT",
    "head": b"POST /x/m HTTP/1.1\r\nhost: x\r\n",
    "next head": WHOLE + b"POST /x/m HTTP/1.1\r\nhost: x\r\n",
    "no next request": WHOLE + b"\r\n",
    "body": b"POST /x/m HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nok",
    "body by ASGI": b"POST /y/m HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nok",
    "chunks": b"POST /y/m HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
}


class Server:
    """Answers ``/x/`` by the direct door, unless it is held, and the rest by ASGI."""

    def __init__(self) -> None:
        self.held: list[Exchange] = []
        self.hold = False
        self.gone = 0
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        http = serving(lambda: Direct(b"/x/", 100, self._begin), HTTP)
        config = uvicorn.Config(self._app, interface="asgi3", lifespan="off", log_config=None, http=http)
        self.server = PatientServer(config)
        self.serving = asyncio.create_task(self.server.serve(sockets=[listening]))

    def _begin(self, exchange: Exchange) -> None:
        if self.hold:
            self.held.append(exchange)
        else:
            exchange.answer(200, b"", b"|")

    async def _app(self, _scope: Any, receive: Any, send: Any) -> None:
        try:
            await read_body(receive, {}, 1_000_000)
        except ClientGone:
            self.gone += 1
        else:
            await respond(send, 200, b"|", [])

    async def opened(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which that was said."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        return reader, writer


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(patience, "KEEP_ALIVE_S", 0.5)
    made = Server()
    await until(lambda: made.server.started)
    yield made
    made.server.should_exit = made.server.force_exit = True
    await made.serving


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_many_half_requests_end_and_others_are_served_meanwhile(server: Server) -> None:
    slow = [await server.opened(sent) for sent in SLOW.values() for _ in range(20)]
    ends = asyncio.gather(*(reader.read() for reader, _ in slow), return_exceptions=True)
    answered = 0
    async with asyncio.timeout(20):
        while not ends.done():
            reader, writer = await server.opened(WHOLE)
            assert (await reader.readuntil(b"|")).startswith(b"HTTP/1.1 200")
            writer.close()
            answered += 1
        await ends
    assert answered > 20
    await until(lambda: not server.server.server_state.connections)
    assert server.gone == 40, "who read a body by ASGI was told"
    for _, writer in slow:
        writer.close()


async def test_a_request_that_takes_long_to_answer_is_not_cut(server: Server) -> None:
    server.hold = True
    reader, writer = await server.opened(WHOLE)
    await until(lambda: server.held)
    # As many looks as end everything else.
    other, _ = await server.opened(SLOW["body"])
    async with asyncio.timeout(10):
        await asyncio.gather(other.read(), return_exceptions=True)
    server.held[0].answer(200, b"", b"|")
    assert (await asyncio.wait_for(reader.readuntil(b"|"), 10)).endswith(b"|")
    writer.close()


async def test_a_head_without_end_is_refused(server: Server) -> None:
    reader, writer = await server.opened(b"POST /x/m HTTP/1.1\r\nhost: x\r\nx-long: ")
    said = asyncio.create_task(reader.read())
    for _ in range(100):
        if said.done():
            break
        writer.write(b"a" * 10_000)
        await asyncio.wait({said}, timeout=0.01)
    assert (await asyncio.wait_for(said, 10)).startswith(b"HTTP/1.1 431 ")
    writer.close()
