"""Alembic, driven from the service: each has a ``migrations`` package, and its schema holds the version table.

``migrations/env.py`` is one call of run_migrations; revisions are in ``migrations/versions``, named by the service and
a number: ``monitor0002``. They run while an older release works on the same tables: see docs/operations.md.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal

from alembic import command, context, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from shipway.contract.errors import InvalidField, Transient
from shipway.runtime import log
from shipway.runtime.database import Database

_log = log.get(__name__)
_ADVISORY_LOCK = 0x5348_4950  # "SHIP": replicas of a service that start together migrate one after the other
_LOCK_WITHIN_MS = 2_000
_LONGEST_S = 3600.0  # of one statement: an index of a large table
_NUMBERED = re.compile(r"([a-z]+)([0-9]{4})")
Direction = Literal["up", "down", "stay"]


async def migrate(database: Database, package: str, revision: str = "head") -> None:
    """Brings the schema of ``package`` (such as ``shipway.trainer``) to ``revision`` ("base" removes its tables).

    A schema that a newer release has migrated is left as it is: that release has only added to it.

    Raises:
        Transient: the database is away, a table is locked for long, or another replica is at it.
        InvalidField: there is no such revision, or the schema is a newer release's and so can't be taken back here.
    """
    current, known = await revisions(database, package)
    if direction(current, revision, known) != "stay":
        async with database.alone(_LONGEST_S) as connection:
            await connection.run_sync(_migrate, database.schema, package, revision)
    elif current not in (None, *known):
        _log.warning("the schema is a newer release's", schema=database.schema, revision=current)


async def revisions(database: Database, package: str) -> tuple[str | None, tuple[str, ...]]:
    """The revision that the schema has, and those that this release knows, oldest first.

    Raises:
        Transient: the database is away.
    """
    async with database.begin() as connection:
        current = await connection.run_sync(_current, database.schema)
    return current, _known(_config(package, database.schema))


def direction(current: str | None, wanted: str, known: Sequence[str]) -> Direction:
    """Which way a schema goes from the ``current`` revision to the ``wanted`` one; ``known`` are oldest first.

    Raises:
        InvalidField: there is no such revision, or no way to it from here.
    """
    if wanted not in ("head", "base", *known):
        raise InvalidField("revision", f"{wanted!r} is not known; known are base, {', '.join(known)}")
    if current is not None and current not in known:
        if not _is_ahead(current, known[-1]):
            raise InvalidField("revision", f"the schema is at {current!r}, which is no release's of this service")
        if wanted == "head":
            return "stay"
        raise InvalidField("revision", f"the schema is at {current}, of a newer release: take it back by that one")
    steps = ["base", *known]
    at, to = steps.index(current or "base"), len(known) if wanted == "head" else steps.index(wanted)
    return "stay" if at == to else "up" if at < to else "down"


def create_index_online(name: str, table: str, columns: Sequence[Any], **how: Any) -> None:
    """For a migration: an index on a table in use, whose writers go on meanwhile. An earlier try's rest is removed."""
    with op.get_context().autocommit_block():
        op.execute("set lock_timeout = 0")  # it waits for transactions under way, and holds up none
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **how)
        op.execute(f"set lock_timeout = {_LOCK_WITHIN_MS}")


def run_migrations() -> None:
    """The whole of an ``env.py``: runs the revisions on the connection that migrate handed over, or as SQL text."""
    attributes: dict[str, Any] = context.config.attributes
    connection, schema = attributes.get("connection"), attributes["schema"]
    context.configure(
        connection=connection,
        dialect_name=None if connection else "postgresql",
        version_table_schema=schema,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _migrate(connection: Connection, schema: str, package: str, revision: str) -> None:
    lock = {"key": _ADVISORY_LOCK, "schema": schema}
    # Not by waiting: an index that is made online waits for every transaction, and so for one that waits here.
    if not connection.scalar(text("select pg_try_advisory_lock(:key, hashtext(:schema))"), lock):
        raise Transient(f"another {schema} migrates the schema")
    try:
        connection.execute(text(f'create schema if not exists "{schema}"'))
        connection.execute(text(f"set lock_timeout = {_LOCK_WITHIN_MS}"))
        connection.commit()
        config = _config(package, schema, connection)
        # Looked at again: another replica may have been at it.
        way = direction(_current(connection, schema), revision, _known(config))
        connection.commit()
        if way != "stay":
            (command.upgrade if way == "up" else command.downgrade)(config, revision)
    finally:
        if not connection.invalidated:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(:key, hashtext(:schema))"), lock)
            connection.commit()


def _config(package: str, schema: str, connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files(package) / "migrations"))
    config.attributes.update(connection=connection, schema=schema)
    return config


def _known(config: Config) -> tuple[str, ...]:
    return tuple(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())[::-1]


def _current(connection: Connection, schema: str) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_revision()


def _is_ahead(current: str, newest: str) -> bool:
    theirs, ours = _NUMBERED.fullmatch(current), _NUMBERED.fullmatch(newest)
    return theirs is not None and ours is not None and theirs[1] == ours[1] and int(theirs[2]) > int(ours[2])
