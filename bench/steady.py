"""So many requests a second, each sent when it is due, however long others take, over connections of plain HTTP/1.1.

A client library would take a millisecond of the machine for each of them, and its own waiting would be measured. For
the same reason the load is a process of its own (``beside``), whose loop does nothing else: it reads its order, a line
of JSON with url, bodies and per_s, from standard input; for each further line, and once more at the end when nothing is
under way any more, it answers with a line of JSON, what was measured since the one before (``Measured``).
"""

import asyncio
import itertools
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import cast
from urllib.parse import urlsplit

ANSWER_WITHIN_S = 10.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True)
class Measured:
    """What a load measured: requests sent, what was said of those that failed, and quantiles of the latency in ms."""

    sent: int
    failed: list[str]
    p50: float
    p99: float


class Beside:
    """A load in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def measured(self) -> Measured:
        """What was measured since this was asked last.

        Raises:
            RuntimeError: the load has ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self._said()

    async def end(self) -> Measured:
        """Sends no more; what was measured since ``measured``, with all that was under way.

        Raises:
            RuntimeError: the load has ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._said()

    async def _said(self) -> Measured:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load has ended")
        return Measured(**json.loads(line))


@asynccontextmanager
async def beside(url: str, bodies: Sequence[object], per_s: float) -> AsyncIterator[Beside]:
    """Sends until it is ended, or the block is."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=pipe, stdout=pipe, limit=2**24)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps({"url": url, "bodies": bodies, "per_s": per_s}).encode() + b"\n")
        yield Beside(process)
    finally:
        process.stdin.close()
        await process.communicate()


async def main() -> None:
    """The load's process."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    load = Load(**json.loads(await lines.readline()))
    sending = asyncio.create_task(load.run())
    while await lines.readline():
        print(json.dumps(asdict(load.measured())), flush=True)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    print(json.dumps(asdict(load.measured())), flush=True)


@dataclass
class Load:
    """The load. ``latencies`` are in ms, from when a request was due; nothing is ever sent again."""

    url: str
    bodies: Sequence[object]
    per_s: float
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    _idle: list["Connection"] = field(default_factory=list)

    async def run(self) -> None:
        """Sends until cancelled, then waits for what is under way."""
        at = urlsplit(self.url)
        head = f"POST {at.path} HTTP/1.1\r\nhost: {at.netloc}\r\ncontent-type: application/json\r\ncontent-length: "
        encoded = [json.dumps(body).encode() for body in self.bodies]
        requests = itertools.cycle([head.encode() + b"%d" % len(one) + _HEAD_END + one for one in encoded])
        clock = asyncio.get_running_loop().time
        due = clock()
        sending: set[asyncio.Task[None]] = set()
        try:
            while True:
                task = asyncio.create_task(self._send(next(requests), due))
                sending.add(task)
                task.add_done_callback(sending.discard)
                due += 1 / self.per_s
                await asyncio.sleep(max(0.0, due - clock()))
        finally:
            await asyncio.gather(*sending)
            for connection in self._idle:
                connection.close()

    def measured(self) -> Measured:
        """What there is since this was asked last."""
        ordered = sorted(self.latencies)
        p50, p99 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0 for q in (0.5, 0.99))
        found = Measured(self.sent, self.failed, p50, p99)
        self.sent, self.failed, self.latencies = 0, [], []
        return found

    async def _send(self, request: bytes, due: float) -> None:
        self.sent += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                connection = self._idle.pop() if self._idle else None
                if connection is None or connection.lost:
                    connection = await connected(self.url)
                status, body = await connection.ask(request)
        except (OSError, TimeoutError) as err:
            self.failed.append(f"{type(err).__name__} {err}")
            return
        self._idle.append(connection)
        if status != 200:
            self.failed.append(f"{status} {body[:200]!r}")
        self.latencies.append(1000 * (loop.time() - due))


async def connected(url: str) -> "Connection":
    """A connection to a server."""
    at = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, at.hostname or "", at.port or 80)
    return connection


class Connection(asyncio.Protocol):
    """One request after another."""

    def __init__(self) -> None:
        self.lost = False
        self._got = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def get(self, path: str) -> tuple[int, bytes]:
        """What is there: status and body."""
        return await self.ask(f"GET {path} HTTP/1.1\r\nhost: shipway\r\n\r\n".encode())

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """An answer's status and body."""
        self._got, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Ends it."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._got += data
        head, found, body = self._got.partition(_HEAD_END)
        length = _LENGTH.search(head)
        if found and length and len(body) >= int(length[1]) and self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head.split(b" ", 2)[1]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection ended without an answer"))


if __name__ == "__main__":
    asyncio.run(main())
