"""A migration runs while the release before it works on the same tables: it holds none up, and takes nothing away."""

import importlib
import io
import re
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from shipway.runtime.migrations import _config
from shipway.runtime.schema import OWNERS

# Older than the first release, and so never run beside one.
BEFORE_THE_FIRST_RELEASE = {"monitor0002"}
_NAME = r'(?:\w+\.)?"?(\w+)"?'
_FORBIDDEN = {
    rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)\S+ ON {_NAME}": "holds up writers: use create_index_online",
    rf"ALTER TABLE {_NAME} ADD COLUMN (?!.* DEFAULT ).* NOT NULL": "needs a server default: older rows, older writers",
    rf"ALTER TABLE {_NAME} ADD COLUMN .* DEFAULT (?!now\(\)|CURRENT_TIMESTAMP)\w+\(": "rewrites the table",
    rf"ALTER TABLE {_NAME} ALTER COLUMN \S+ (?:TYPE|SET NOT NULL)": "reads or rewrites the table under a lock",
    rf"ALTER TABLE {_NAME} ADD (?:CONSTRAINT|CHECK|FOREIGN)(?!.* NOT VALID)": "reads the table under a lock: NOT VALID",
    rf"ALTER TABLE {_NAME} (?:DROP COLUMN|RENAME)": "the release before still uses it: the one after the next may",
    rf"DROP TABLE {_NAME}": "the release before still uses it: the one after the next may",
}


def faults(sql: str) -> list[str]:
    """What a migration's SQL does that it must not, to tables that it does not make itself."""
    plain = re.sub(r"^--.*$", "", sql, flags=re.MULTILINE)
    statements = [" ".join(s.split()) for s in plain.split(";")]
    made = {found[1] for s in statements if (found := re.match(rf"CREATE TABLE {_NAME}", s))}
    return [
        f"{statement[:120]}: {why}"
        for statement in statements
        for pattern, why in _FORBIDDEN.items()
        if (found := re.match(pattern, statement)) and found[1] not in made
    ]


def rendered(config: Config, revision: str, before: str | None) -> str:
    """The SQL of one migration."""
    config.output_buffer = out = io.StringIO()
    command.upgrade(config, f"{before or 'base'}:{revision}", sql=True)
    return out.getvalue()


def every_revision() -> Iterator[tuple[str, str, str | None]]:
    for service in OWNERS:
        for script in ScriptDirectory.from_config(_config(f"shipway.{service}", service)).walk_revisions():
            assert script.down_revision is None or isinstance(script.down_revision, str)
            yield service, script.revision, script.down_revision


@pytest.mark.parametrize(("service", "revision", "before"), list(every_revision()))
def test_a_migration_holds_nobody_up_and_takes_nothing_away(service: str, revision: str, before: str | None) -> None:
    importlib.import_module(f"shipway.{service}")
    sql = rendered(_config(f"shipway.{service}", service), revision, before)
    assert revision in sql
    if revision not in BEFORE_THE_FIRST_RELEASE:
        assert not faults(sql)


def test_migrations_are_named_in_order() -> None:
    for service in OWNERS:
        numbers = [revision for owner, revision, _ in every_revision() if owner == service][::-1]
        assert numbers == [f"{service}{n:04}" for n in range(1, len(numbers) + 1)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX by_type ON events (type)",
        "CREATE UNIQUE INDEX once ON monitor.events (source, event_id)",
        "ALTER TABLE labels ADD COLUMN weight FLOAT NOT NULL",
        "ALTER TABLE labels ADD COLUMN id UUID DEFAULT gen_random_uuid() NOT NULL",
        "ALTER TABLE events ALTER COLUMN version TYPE BIGINT",
        "ALTER TABLE events ALTER COLUMN version SET NOT NULL",
        "ALTER TABLE events ADD CONSTRAINT positive CHECK (version > 0)",
        "ALTER TABLE events DROP COLUMN version",
        "ALTER TABLE events RENAME version TO number",
        "DROP TABLE labels",
    ],
)
def test_what_is_forbidden_is_found(statement: str) -> None:
    assert len(faults(f"BEGIN;\n\n{statement};\n\nCOMMIT;")) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY by_type ON events (type)",
        "CREATE TABLE fresh (id BIGINT NOT NULL);\n\nCREATE INDEX by_id ON fresh (id)",
        "ALTER TABLE labels ADD COLUMN weight FLOAT",
        "ALTER TABLE labels ADD COLUMN weight FLOAT DEFAULT '1' NOT NULL",
        "ALTER TABLE labels ADD COLUMN seen TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL",
        "ALTER TABLE events ADD CONSTRAINT positive CHECK (version > 0) NOT VALID",
    ],
)
def test_what_holds_nobody_up_is_allowed(statement: str) -> None:
    assert faults(f"BEGIN;\n\n{statement};\n\nCOMMIT;") == []
