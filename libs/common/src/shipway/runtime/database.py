"""PostgreSQL's edge: a service's pools, transactions, and driver errors sorted into Transient and bugs."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import URL, NullPool, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.settings import DatabaseSettings
from shipway.runtime.tls import tls_context

Transaction = AsyncConnection

# SQLSTATE classes that say "not now": connection, rollback (deadlock, serialization), resources, a lock, operator.
_TRANSIENT_CLASSES = ("08", "40", "53", "55P03", "57", "58")
_DATA_CLASSES = ("22", "54")  # a value that its column can't hold, or its index
HELD = 3
"""How many transactions of a service may be held at once: its relay's, and those of two of its reconcilers."""


class Database:
    """A service's tables, in the schema of its name. Its queries name no schema: the search path does."""

    def __init__(self, settings: DatabaseSettings, schema: str) -> None:
        self.schema = schema
        self._settings = settings
        self.engine = self._pool(settings.pool_size)
        self._held = self._pool(HELD)

    def begin(self) -> AbstractAsyncContextManager[Transaction]:
        """A short transaction: committed at the end, rolled back by an exception.

        Raises:
            Transient: the database is away, or asks to try again. The commit may or may not have happened.
            Permanent: a value that no column can hold, such as a NUL in a text, or a text too long for an index.
        """
        return self._transaction(self.engine)

    def hold(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction whose row locks say who works on something, held while the broker or the object store is asked.

        On a connection beside the pool: however long that takes, ``begin`` does not wait for it.

        Raises:
            Transient, Permanent: as ``begin``.
        """
        return self._transaction(self._held)

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[Transaction]:
        with _sorted():
            async with self._connected(engine) as connection, connection.begin():
                try:
                    yield connection
                except TimeoutError:
                    await connection.invalidate()  # or the rollback would wait as long again
                    raise

    @asynccontextmanager
    async def alone(self, command_timeout_s: float) -> AsyncIterator[AsyncConnection]:
        """A connection of its own, in no transaction, for commands that may take so long.

        Raises:
            Transient, Permanent: as ``begin``.
        """
        arguments = _connect_args(self._settings, self.schema, command_timeout_s)
        engine = create_async_engine(_url(self._settings), poolclass=NullPool, connect_args=arguments)
        with _sorted():
            async with engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """A connection that lives. Where one is silent, the others of the pool are given up with it.

        A server that went away without a word leaves connections that look open. Asking one of them takes as long
        as a command may, and so would the rollback, and then the next one of the pool.
        """
        try:
            # For a free one, for the look at whether it lives, and for a new one in its place.
            async with asyncio.timeout(3 * self._settings.timeout_s):
                connection = await engine.connect()
            try:
                yield connection
            finally:
                await asyncio.shield(asyncio.create_task(connection.close()))
        except TimeoutError:
            await engine.dispose(close=False)
            raise

    async def probe(self) -> None:
        """Asks the database for a sign of life.

        Raises:
            Transient: there is none.
        """
        async with self.begin() as tx:
            await tx.execute(text("select 1"))

    async def close(self) -> None:
        """Closes the pools."""
        await self.engine.dispose()
        await self._held.dispose()

    def _pool(self, size: int) -> AsyncEngine:
        engine = create_async_engine(
            _url(self._settings),
            pool_size=size,
            max_overflow=0,
            pool_timeout=self._settings.timeout_s,
            json_deserializer=msgspec.json.decode,
            connect_args=_connect_args(self._settings, self.schema, command_timeout_s=60),
        )
        event.listen(engine.sync_engine, "checkout", _begun)
        return engine


def _begun(connection: Any, _record: Any, _proxy: Any) -> None:
    """Begins a transaction on a connection out of the pool, which makes one anew that turns out to live no more.

    In the place of ``pool_pre_ping``, which asks in a transaction of its own: three answers to wait for, and a fourth
    where SQLAlchemy then begins one. By a coroutine of its dialect that is private; a test counts what is sent.
    """
    try:
        connection.run_async(lambda _driver: connection._start_transaction())
    except (connection.dbapi.Error, OSError) as err:
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError from err
        raise


@contextmanager
def _sorted() -> Iterator[None]:
    """Sorts the driver's errors into Transient, Permanent and bugs."""
    try:
        yield
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as err:
        if isinstance(err, DBAPIError) and is_data_error(err):
            problem = str(err.orig).partition("\n")[0].partition(": ")[2] or "a value does not fit"
            raise Permanent(f"can't be stored: {problem[:300]}") from err
        if is_transient(err):
            raise Transient(f"PostgreSQL: {_first_line(err)}") from err
        raise


def _url(settings: DatabaseSettings) -> URL:
    return make_url(settings.url.get_secret_value()).set(drivername="postgresql+asyncpg")


def _connect_args(settings: DatabaseSettings, schema: str, command_timeout_s: float) -> dict[str, Any]:
    return {
        "timeout": settings.timeout_s,
        "ssl": _tls(settings),
        "command_timeout": command_timeout_s,
        "server_settings": {"search_path": schema, "application_name": f"shipway-{schema}"},
    }


def _tls(settings: DatabaseSettings) -> ssl.SSLContext | bool:
    if settings.tls == "off":
        return False
    return tls_context(
        "DATABASE",
        ca_file=settings.ca_file,
        cert_file=settings.cert_file,
        key_file=settings.key_file,
        verify=settings.tls == "verify",
    )


def is_transient(err: BaseException) -> bool:
    """Whether a driver's error is an outage, rather than a bug in a statement."""
    if isinstance(err, OSError | TimeoutError | PoolTimeoutError | asyncpg.InterfaceError):
        return True
    if isinstance(err, asyncpg.PostgresError):
        return str(getattr(err, "sqlstate", "")).startswith(_TRANSIENT_CLASSES)
    if isinstance(err, DBAPIError):
        state = str(getattr(err.orig, "sqlstate", "") or "")
        if state:
            return state.startswith(_TRANSIENT_CLASSES)
        return err.connection_invalidated or isinstance(err, InterfaceError | OperationalError)
    return False


def is_data_error(err: DBAPIError) -> bool:
    """Whether the statement's values are at fault, by the server's word or the driver's (which says ValueError)."""
    if str(getattr(err.orig, "sqlstate", "") or "").startswith(_DATA_CLASSES):
        return True
    cause = err.orig.__cause__ if err.orig is not None else None
    return isinstance(cause, asyncpg.InterfaceError) and isinstance(cause, ValueError)


def _first_line(err: BaseException) -> str:
    return (str(err).splitlines() or [""])[0][:300] or type(err).__name__
