"""At the start: the history's objects against the list of them, which differ after a restore from a backup.

An object that the list lacks is taken in, and its doubled records go as the day's files are merged. A file whose object
is not there is called lost, and found if it turns up: nothing is removed here, as the bucket may be the wrong one.
"""

import asyncio
import re
from datetime import date

from shipway.contract.errors import Permanent
from shipway.contract.history import HISTORY
from shipway.monitor import combinationstore, filing, parquet
from shipway.runtime import log
from shipway.runtime.database import Database
from shipway.runtime.objects import ObjectStore

_log = log.get(__name__)
_KEY = re.compile(rf"{HISTORY}([a-z][a-z0-9-]*)/(\d{{4}}-\d\d-\d\d)/[0-9a-f]{{32}}\.parquet")
MAX_BYTES = 1_000_000_000


async def take_stock(database: Database, store: ObjectStore) -> None:
    """Compares once. Objects first: each has been on the list since before it was there.

    Raises:
        Transient: the object store, or the database, is away.
    """
    there = set(await asyncio.to_thread(store.list, HISTORY))
    async with database.begin() as tx:
        known = await filing.known(tx)
    for key in sorted(there - known.keys()):
        await _take_in(database, store, key)
    for key, state in known.items():
        if state == "lost" and key in there:
            async with database.begin() as tx:
                await filing.change(tx, key, "lost", "written")
        elif state == "written" and key not in there and await asyncio.to_thread(store.size, key) is None:
            _log.error("history file lost", key=key)
            async with database.begin() as tx:
                await filing.change(tx, key, "written", "lost")


async def _take_in(database: Database, store: ObjectStore, key: str) -> None:
    if not (named := _KEY.fullmatch(key)):
        return  # somebody else's
    try:
        data = await asyncio.to_thread(store.get, key, MAX_BYTES)
        content = await asyncio.to_thread(parquet.describe, data)
        records = await asyncio.to_thread(parquet.decode, data)
        day = date.fromisoformat(named[2])
    except (Permanent, ValueError) as err:
        _log.error("not a history file", key=key, reason=str(err)[:500])
        return
    _log.warning("history file taken in", key=key, rows=content.rows)
    async with database.begin() as tx:
        await filing.take_in(tx, key, named[1], day, content)
        await combinationstore.change(tx, named[1], day, None, records)
