"""Every service's schema goes up, down, and up again; a newer one is left alone; an index is made online."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from structlog.testing import capture_logs

from shipway.contract.errors import InvalidField, Transient
from shipway.runtime.database import Database
from shipway.runtime.migrations import direction, migrate, revisions
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


KNOWN = ("monitor0001", "monitor0002")


@pytest.mark.parametrize(
    ("current", "wanted", "way"),
    [
        (None, "head", "up"),
        ("monitor0001", "head", "up"),
        ("monitor0002", "head", "stay"),
        ("monitor0003", "head", "stay"),
        ("monitor0002", "monitor0001", "down"),
        ("monitor0001", "monitor0002", "up"),
        ("monitor0001", "base", "down"),
        (None, "base", "stay"),
    ],
)
def test_which_way_a_schema_goes(current: str | None, wanted: str, way: str) -> None:
    assert direction(current, wanted, KNOWN) == way


@pytest.mark.parametrize(
    ("current", "wanted", "why"),
    [
        ("monitor0002", "monitor0010", "known are base, monitor0001"),
        ("monitor0003", "monitor0001", "of a newer release"),
        ("monitor0003", "base", "of a newer release"),
        ("trainer0003", "head", "no release's"),
        ("4bc1f00d", "head", "no release's"),
    ],
)
def test_a_schema_that_can_not_go_there_is_left(current: str, wanted: str, why: str) -> None:
    with pytest.raises(InvalidField, match=why):
        direction(current, wanted, KNOWN)


async def test_a_newer_release_s_schema_is_left_alone(database_url: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(database_url)), "monitor")
    await migrate(database, "shipway.monitor")
    async with database.begin() as tx:
        await tx.execute(sa.text("update alembic_version set version_num = 'monitor9000'"))
    with capture_logs() as lines:
        await migrate(database, "shipway.monitor")
    assert [line["revision"] for line in lines] == ["monitor9000"]
    with pytest.raises(InvalidField, match="newer release"):
        await migrate(database, "shipway.monitor", "monitor0001")
    assert (await revisions(database, "shipway.monitor"))[0] == "monitor9000"
    await database.close()


@pytest.mark.slow
async def test_the_way_back_is_a_command(database_url: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(database_url)), "monitor")
    await migrate(database, "shipway.monitor")
    given = {"SHIPWAY_MONITOR__DATABASE__URL": database_url}

    async def schema(*more: str, env: dict[str, str] = given) -> tuple[int, str, str]:
        argv = [sys.executable, "-m", "shipway.runtime.schema", *more]
        done = await asyncio.to_thread(
            subprocess.run, argv, env={**os.environ, **env}, check=False, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    assert "at monitor0001" in (await schema("monitor", "--to", "monitor0001"))[1]
    assert (await revisions(database, "shipway.monitor"))[0] == "monitor0001"
    code, _, error = await schema("monitor", "--to", "monitor9999")
    assert (code, error.count("\n")) == (2, 1)
    assert "known are base" in error
    nowhere = {"SHIPWAY_MONITOR__DATABASE__URL": "postgresql://nobody@127.0.0.1:9/none"}
    assert (await schema("monitor", env=nowhere))[0] == 3
    await database.close()


REVISIONS = {
    "0001": "op.create_table('rows', sa.Column('id', sa.Integer))",
    "0002": "create_index_online('rows_by_id', 'rows', ['id'])",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with migrations of its own, one of them an index made online."""
    versions = tmp_path / "indexed" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "indexed" / "__init__.py").touch()
    (versions.parent / "env.py").write_text("from shipway.runtime.migrations import run_migrations\nrun_migrations()\n")
    before: str | None = None
    for number, change in REVISIONS.items():
        name = f"indexed{number}"
        (versions / f"{name}.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            "from shipway.runtime.migrations import create_index_online\n"
            f"revision, down_revision, branch_labels, depends_on = {name!r}, {before!r}, None, None\n"
            f"def upgrade():\n    {change}\n"
        )
        before = name
    monkeypatch.syspath_prepend(tmp_path)
    return "indexed"


async def test_an_index_made_online_holds_up_no_writer(database_url: str, package: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(database_url)), package)
    await migrate(database, package, "indexed0001")
    async with database.begin() as writer:
        await writer.execute(sa.text("insert into rows values (1)"))
        making = asyncio.create_task(migrate(database, package))
        waits = sa.text("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike :q")
        waiting = 0
        async with asyncio.timeout(30):
            while not waiting:
                async with database.begin() as other:
                    await other.execute(sa.text("insert into rows values (2)"))
                    waiting = (await other.execute(waits, {"q": "create index%"})).scalar_one()
        async with database.begin() as other:
            await other.execute(sa.text("insert into rows values (3)"))
        with pytest.raises(Transient, match="another indexed migrates"):
            await migrate(database, package)
    await asyncio.wait_for(making, 30)
    async with database.begin() as tx:
        valid = sa.text("select indisvalid from pg_index where indexrelid = 'rows_by_id'::regclass")
        assert (await tx.execute(valid)).scalar_one() is True
    assert (await revisions(database, package))[0] == "indexed0002"
    await database.close()


async def test_a_table_that_is_locked_for_long_is_tried_again_later(database_url: str, package: str) -> None:
    """A waiting ALTER TABLE would hold up all who come after it."""
    database = Database(DatabaseSettings(url=SecretStr(database_url)), "monitor")
    await migrate(database, "shipway.monitor", "monitor0001")
    async with database.begin() as reader:
        await reader.execute(sa.text("lock table versions in access share mode"))
        with pytest.raises(Transient, match="lock"):
            await migrate(database, "shipway.monitor")
    await migrate(database, "shipway.monitor")
    await database.close()
