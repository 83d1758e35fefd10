"""A database whose connections stay open while nothing comes any more."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from shipway.contract.errors import Transient
from shipway.runtime.database import Database
from shipway.runtime.settings import DatabaseSettings

TIMEOUT_S = 0.5


class Line:
    """A line to the database; once ``cut``, what is on it is swallowed, and only new connections work."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.asked = 0
        self._lives: list[dict[str, bool]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Gives the port to connect to."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """The far end forgets every connection."""
        for life in self._lives:
            life["cut"] = True

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        life = {"cut": False}
        self._lives.append(life)

        async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while chunk := await source.read(65_536):
                self.asked += source is reader
                if not life["cut"]:
                    sink.write(chunk)
            sink.close()

        await asyncio.gather(forward(reader, to_server), forward(from_server, writer), return_exceptions=True)

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[tuple[Line, Database]]:
    url = make_url(database_url)
    made = Line(url.port or 5432)
    through = url.set(port=await made.start()).render_as_string(hide_password=False)
    database = Database(DatabaseSettings(url=SecretStr(through), timeout_s=TIMEOUT_S, pool_size=3), "evaluator")
    yield made, database
    await database.close()
    await made.stop()


async def test_silent_connections_are_given_up_all_at_once(line: tuple[Line, Database]) -> None:
    """Or each of the pool's connections would cost a command's timeout, one after the other."""
    cable, database = line
    async with database.begin(), database.begin(), database.begin():
        pass
    await database.probe()
    cable.cut()
    begun = time.monotonic()
    with pytest.raises(Transient, match="PostgreSQL"):
        await database.probe()
    for _ in range(5):
        await database.probe()
    assert time.monotonic() - begun < 20, "that is a command's timeout"


async def test_a_silent_connection_is_not_asked_to_roll_back(line: tuple[Line, Database]) -> None:
    cable, database = line
    begun = time.monotonic()
    with pytest.raises(Transient, match="PostgreSQL"):
        async with database.begin() as tx:
            cable.cut()
            async with asyncio.timeout(TIMEOUT_S):
                await tx.execute(sa.text("select 1"))
    await database.probe()
    assert time.monotonic() - begun < 20, "that is a command's timeout"


async def test_a_transaction_asks_for_its_begin_and_its_end_besides_what_it_is_for(line: tuple[Line, Database]) -> None:
    """And BEGIN is the sign of life of a connection out of the pool: that it is needs SQLAlchemy's private parts."""
    cable, database = line
    await database.probe()
    before = cable.asked
    await database.probe()
    assert cable.asked - before == 3


async def test_a_connection_that_was_ended_is_made_anew(line: tuple[Line, Database], database_url: str) -> None:
    _, database = line
    for _ in range(3):
        async with database.begin() as tx:
            ended = (await tx.execute(sa.text("select pg_backend_pid()"))).scalar_one()
        other = Database(DatabaseSettings(url=SecretStr(database_url)), "evaluator")
        async with other.begin() as tx:
            await tx.execute(sa.text("select pg_terminate_backend(:pid, 10000)"), {"pid": ended})
        await other.close()
        await database.probe()
