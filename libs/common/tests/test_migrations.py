"""Every service's schema goes up, down, and up again."""

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from shipway.runtime.database import Database
from shipway.runtime.migrations import migrate
from shipway.runtime.settings import DatabaseSettings


@pytest.mark.parametrize("service", ["trainer", "evaluator", "releaser", "monitor"])
async def test_up_down_up(database_url: str, service: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(database_url)), service)

    async def tables() -> set[str]:
        async with database.begin() as tx:
            found = await tx.execute(sa.text("select tablename from pg_tables where schemaname = :s"), {"s": service})
            return set(found.scalars())

    package = f"shipway.{service}"
    await migrate(database, package)
    up = await tables()
    assert {"inbox", "outbox", "crashes"} < up
    await migrate(database, package)
    await migrate(database, package, "base")
    assert await tables() == {"alembic_version"}
    await migrate(database, package)
    assert await tables() == up
    await database.close()
