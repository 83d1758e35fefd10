"""The door beside ASGI, over real sockets: what goes through it, what goes to ASGI, and that nobody can tell."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from shipway.runtime.direct import Direct, Exchange, serving
from shipway.runtime.http import read_body, respond

OK = b"HTTP/1.1 200 OK"


class Server:
    """Answers with the body that it got, and by which door; ``hold`` keeps direct requests until they are let go."""

    def __init__(self) -> None:
        self.hold = False
        self.held: list[Exchange] = []
        self.gone = 0
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        direct = Direct(b"/x/", 10, self._begin)
        http = serving(lambda: direct)
        config = uvicorn.Config(self._app, interface="asgi3", lifespan="off", log_config=None, http=http)
        self.server = uvicorn.Server(config)
        self.serving = asyncio.create_task(self.server.serve(sockets=[listening]))

    def _begin(self, exchange: Exchange) -> None:
        exchange.on_gone = self._left
        self.held.append(exchange)
        if not self.hold:
            self.answer(exchange)

    def answer(self, exchange: Exchange) -> None:
        exchange.answer(200, b"x-door: direct\r\n", exchange.body)

    def _left(self) -> None:
        self.gone += 1

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 200, await read_body(receive, {}, 1_000_000), [(b"x-door", b"asgi")])

    async def says(self, sent: bytes, answers: int) -> bytes:
        """What comes back on a connection until there are so many answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        said = b""
        async with asyncio.timeout(10):
            while said.count(OK) < answers or not said.endswith(b"|"):
                chunk = await reader.read(65536)
                if not chunk:
                    break
                said += chunk
        writer.close()
        return said


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    async with asyncio.timeout(10):
        while not made.server.started:
            await asyncio.sleep(0.01)
    yield made
    made.server.should_exit = True
    await made.serving


def post(body: bytes, path: bytes = b"/x/m", more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b" % (path, more, len(body), body)


DOORS = [
    (post(b"small|"), b"direct"),
    (post(b"in bounds|"), b"direct"),
    (post(b"larger body|"), b"asgi"),
    (post(b"other|", path=b"/y/m"), b"asgi"),
    (post(b"query|", path=b"/x/m?a=b"), b"asgi"),
    (post(b"escape|", path=b"/x/%6d"), b"asgi"),
    (post(b"wait|", more=b"expect: 100-continue\r\n"), b"asgi"),
    (post(b"old|").replace(b"HTTP/1.1", b"HTTP/1.0"), b"asgi"),
    (b"PUT" + post(b"put|")[4:], b"asgi"),
    (b"POST /x/m HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabc|\r\n0\r\n\r\n", b"asgi"),
]


@pytest.mark.parametrize(("sent", "door"), DOORS)
async def test_only_plain_and_small_requests_go_through(server: Server, sent: bytes, door: bytes) -> None:
    assert b"x-door: " + door in await server.says(sent, 1)


async def test_a_connection_carries_one_after_the_other_by_both_doors(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    async with asyncio.timeout(10):
        for sent, door in 2 * DOORS[:4]:
            writer.write(sent)
            said = await reader.readuntil(b"|")
            assert said.startswith(OK) and b"x-door: " + door in said
            assert b"date: " in said
    writer.close()


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    server.hold = True
    sent = b"".join(post(b"%d|" % number) for number in range(5))
    saying = asyncio.create_task(server.says(sent, 5))
    async with asyncio.timeout(10):
        while not server.held:
            await asyncio.sleep(0.01)
    server.hold = False
    server.answer(server.held[0])
    said = await saying
    assert re.findall(rb"\r\n\r\n(\d)\|", said) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_body_may_come_in_pieces(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    sent = post(b"pieces|")
    async with asyncio.timeout(10):
        for at in range(0, len(sent), 7):
            writer.write(sent[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"|")).endswith(b"pieces|")
    writer.close()


async def test_a_client_that_goes_is_told_of_and_harms_nobody(server: Server) -> None:
    server.hold = True
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(b"gone|"))
    async with asyncio.timeout(10):
        while not server.held:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        while not server.gone:
            await asyncio.sleep(0.01)
    server.answer(server.held[0])
    server.hold = False
    assert b"here|" in await server.says(post(b"here|"), 1)
    assert server.gone == 1


@pytest.mark.parametrize("answered", [True, False])
async def test_a_connection_that_ends_begins_nothing_again(server: Server, answered: bool) -> None:
    server.hold = not answered
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(b"once|"))
    async with asyncio.timeout(10):
        if answered:
            assert (await reader.readuntil(b"|")).endswith(b"once|")
        while not server.held:
            await asyncio.sleep(0.01)
        writer.close()
        while server.server.server_state.connections:
            await asyncio.sleep(0.01)
    assert len(server.held) == 1


async def test_a_connection_is_closed_where_the_client_wants_it(server: Server) -> None:
    said = await server.says(post(b"bye|", more=b"connection: close\r\n"), 2)  # ends with the connection
    assert said.count(OK) == 1
    assert b"connection: close\r\n" in said


async def test_a_stop_answers_what_is_under_way(server: Server) -> None:
    server.hold = True
    saying = asyncio.create_task(server.says(post(b"late|"), 2))
    async with asyncio.timeout(10):
        while not server.held:
            await asyncio.sleep(0.01)
        server.server.should_exit = True
        while any(s.is_serving() for s in server.server.servers):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # the shutdown reaches the connections by then, or later: both must do
        server.answer(server.held[0])
        assert b"late|" in await saying
