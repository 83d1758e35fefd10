"""Fixtures for tests of any package: a real PostgreSQL for the whole run, and a fresh database for each test."""

import asyncio
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from shipway.contract.errors import Transient
from shipway.embedded import postgres
from shipway.runtime.database import Database
from shipway.runtime.migrations import migrate
from shipway.runtime.settings import DatabaseSettings

START_WITHIN_S = 60


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a running PostgreSQL's maintenance database, as its superuser."""
    folder = Path(tempfile.mkdtemp(prefix="shipway-pg-"))
    port, password = free_port(), uuid.uuid4().hex
    user = asyncio.run(postgres.initialise(folder / "data", password, folder / "log", durable=False))
    with (folder / "log").open("ab") as log:
        arguments = postgres.command(folder / "data", port, durable=False)
        as_user: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid} if user else {}
        server = subprocess.Popen(arguments, **as_user, cwd="/", stdout=log, stderr=log)
    try:
        _wait_for(port, password, server, folder / "log")
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(START_WITHIN_S)
        shutil.rmtree(folder)


def _wait_for(port: int, password: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            return asyncio.run(postgres.probe(port, password))
        except Transient as err:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {err}; {log.read_text()[-2000:]}")
            time.sleep(0.05)


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """The URL of an empty database, dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"create database {name}")
        yield postgres_url.rpartition("/")[0] + f"/{name}"
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def migrated(postgres_url: str) -> Callable[[str], Awaitable[str]]:
    """Gives the name of a database with a service's migrated schema: a copy costs a tenth of migrating again."""
    made: set[str] = set()

    async def template(service: str) -> str:
        name = f"migrated_{service}"
        if name not in made:
            await _command(postgres_url, f"create database {name}")
            database = Database(_settings(postgres_url, name), service)
            await migrate(database, f"shipway.{service}")
            await database.close()
            made.add(name)
        return name

    return template


@pytest.fixture
async def open_database(
    postgres_url: str, database_url: str, migrated: Callable[[str], Awaitable[str]]
) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """Gives a service's Database, its schema migrated, by its name: ``await open_database("trainer")``."""
    opened: list[Database] = []
    name = database_url.rpartition("/")[2]

    async def open_one(service: str) -> Database:
        database = Database(_settings(postgres_url, name), service)
        if opened:  # a second service's schema, beside the first
            await migrate(database, f"shipway.{service}")
        else:
            copied = f"create database {name} template {await migrated(service)} strategy file_copy"
            await _command(postgres_url, f"drop database {name}", copied)
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        await database.close()


async def _command(postgres_url: str, *commands: str) -> None:
    admin = await asyncpg.connect(postgres_url)
    try:
        for command in commands:
            await admin.execute(command)
    finally:
        await admin.close()


def _settings(postgres_url: str, name: str) -> DatabaseSettings:
    return DatabaseSettings(url=SecretStr(postgres_url.rpartition("/")[0] + f"/{name}"))
