"""Alembic, driven from the service: each has a ``migrations`` package, and its schema holds the version table.

``migrations/env.py`` is one call of run_migrations; revisions are in ``migrations/versions``.
"""

from importlib.resources import files
from typing import Any

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, text

from shipway.runtime.database import Database

_ADVISORY_LOCK = 0x5348_4950  # "SHIP": replicas of a service that start together migrate one after the other


async def migrate(database: Database, package: str, revision: str = "head") -> None:
    """Brings the schema of ``package`` (such as ``shipway.trainer``) to ``revision`` ("base" removes its tables).

    Raises:
        Transient: the database is away.
    """
    async with database.begin() as tx:
        await tx.run_sync(_migrate, database.schema, package, revision)


def _migrate(connection: Connection, schema: str, package: str, revision: str) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(text(f'create schema if not exists "{schema}"'))
    config = Config()
    config.set_main_option("script_location", str(files(package) / "migrations"))
    config.attributes.update(connection=connection, schema=schema)
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def run_migrations() -> None:
    """The whole of an ``env.py``: runs the revisions on the connection that migrate handed over."""
    attributes: dict[str, Any] = context.config.attributes
    context.configure(connection=attributes["connection"], version_table_schema=attributes["schema"])
    context.run_migrations()
