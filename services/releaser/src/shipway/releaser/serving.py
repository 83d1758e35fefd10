"""What instances are told of a version besides its role: it never changes, so it is read once while it is held."""

import msgspec
import sqlalchemy as sa

from shipway.contract import events as e
from shipway.releaser.state import Model
from shipway.releaser.tables import versions
from shipway.runtime.database import Transaction

_READ = sa.select(versions.c.version, versions.c.digest, versions.c.signature, versions.c.prediction_log).where(
    versions.c.model == sa.bindparam("of"), versions.c.version.in_(sa.bindparam("numbers", expanding=True))
)


class Serving:
    """What serving the held versions of every model needs."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, e.HeldVersion]] = {}

    async def held(self, tx: Transaction, model: Model) -> list[e.HeldVersion]:
        """The versions that instances must hold, as they are told of them."""
        known = self._known.get(model.name, {})
        missing = [number for number, _ in model.desired.held if not _is(known.get(number), model)]
        rows = (await tx.execute(_READ, {"of": model.name, "numbers": missing})).all() if missing else []
        read = {
            row.version: e.HeldVersion(
                version=row.version,
                digest=row.digest,
                role="standby",
                signature=row.signature,
                prediction_log=row.prediction_log,
            )
            for row in rows
        }
        held = [msgspec.structs.replace((known | read)[n], role=role) for n, role in model.desired.held]
        self._known[model.name] = {version.version: version for version in held}
        return held


def _is(known: e.HeldVersion | None, model: Model) -> bool:
    """Whether that is the model's version; after a backup was restored its number may be another's."""
    return known is not None and known.digest == model.versions[known.version].digest
