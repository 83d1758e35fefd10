"""What the trainer told, out of its outbox."""

import msgspec
import sqlalchemy as sa

from shipway.contract.envelope import decode
from shipway.contract.events import Payload
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox


async def told(database: Database) -> list[Payload]:
    """Its events, in order."""
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
    return [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])).payload for r in rows]
