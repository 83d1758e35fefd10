"""Latencies by version and slot, in a real PostgreSQL: added up, read by range, and let go by width."""

from datetime import UTC, datetime

import numpy as np

from shipway.monitor import latencies
from shipway.monitor.bins import Counts
from shipway.monitor.summary import LATENCIES
from shipway.runtime.database import Database

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def counts(**of: int) -> Counts:
    """So many answers in the parts of these numbers."""
    found = np.zeros(LATENCIES, np.int64)
    for part, number in of.items():
        found[int(part[1:])] = number
    return found


async def test_counts_are_added_to_their_slots_and_go_when_they_are_old(database: Database) -> None:
    fine, day = latencies.FINE, latencies.LONG
    async with database.begin() as tx:
        await latencies.add(tx, {})
        await latencies.add(tx, {("m", fine, T0, 1): counts(_3=2), ("m", day, T0, 1): counts(_3=2)})
        more = {("m", fine, T0, 1): counts(_3=1, _9=5), ("m", fine, T0 + fine, 2): counts(_4=1)}
        await latencies.add(tx, more | {("m", day, T0, 1): counts(_9=5), ("other", fine, T0, 1): counts(_1=1)})
    async with database.begin() as tx:
        found = await latencies.since(tx, "m", fine, T0)
        assert {key: of.tolist() for key, of in found.items()} == {
            (1, T0): counts(_3=3, _9=5).tolist(),
            (2, T0 + fine): counts(_4=1).tolist(),
        }
        assert list(await latencies.since(tx, "m", fine, T0 + fine)) == [(2, T0 + fine)]
        await latencies.forget_before(tx, T0 + 3 * day)
        assert await latencies.since(tx, "m", fine, T0) == {}
        assert (await latencies.since(tx, "m", day, T0))[1, T0].tolist() == counts(_3=2, _9=5).tolist()
