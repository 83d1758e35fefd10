"""``python -m shipway.runtime.schema monitor [--to monitor0001]``: a service's tables, brought to a revision.

Services bring their own schema up when they start; this is for the way back (see docs/operations.md).
"""

import argparse
import asyncio
import sys

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.database import Database
from shipway.runtime.migrations import migrate, revisions
from shipway.runtime.settings import DatabaseSettings, ServiceSettings

OWNERS = ("trainer", "evaluator", "releaser", "monitor")


class _Settings(ServiceSettings):
    database: DatabaseSettings = DatabaseSettings()


async def bring(settings: DatabaseSettings, service: str, to: str | None) -> str:
    """Brings a service's tables to a revision (None: leaves them), and says where they are.

    Raises:
        Permanent: there is no such revision. Transient: the database is away.
    """
    database, package = Database(settings, service), f"shipway.{service}"
    try:
        if to is not None:
            await migrate(database, package, to)
        current, known = await revisions(database, package)
    finally:
        await database.close()
    return f"{service}: at {current or 'base'}; this release knows base, {', '.join(known)}"


def main() -> int:
    """The command; exit code 2 for what is wrong, 3 where the database is away."""
    asked = argparse.ArgumentParser(prog="python -m shipway.runtime.schema", description="A service's tables.")
    asked.add_argument("service", choices=OWNERS)
    asked.add_argument("--to", metavar="REVISION", help="bring them there: a revision, or base, which removes them")
    given = asked.parse_args()
    settings = _Settings(_env_prefix=f"SHIPWAY_{given.service.upper()}__")  # type: ignore[call-arg]
    try:
        sys.stdout.write(asyncio.run(bring(settings.database, given.service, given.to)) + "\n")
    except (Permanent, Transient) as err:
        sys.stderr.write(f"shipway: {err}\n")
        return 2 if isinstance(err, Permanent) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
