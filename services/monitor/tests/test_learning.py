"""Counting waits for a version's reference, on a real PostgreSQL and a real folder, and does not wait for ever."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from shipway.contract.errors import Transient
from shipway.contract.predictionbatch import encode_batch
from shipway.monitor import handlers
from shipway.monitor.learning import KnownBins, Learner
from shipway.monitor.packing import unpack
from shipway.monitor.references import References
from shipway.monitor.staging import Room
from shipway.monitor.summary import Summary
from shipway.monitor.tables import history_staged, reference_bins, window_parts
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore

Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]


@pytest.fixture
def learner(database: Database, store: FolderStore) -> Learner:
    return Learner(database, References(database, store))


@pytest.fixture
def log(database: Database, record: Record) -> Put:
    """Handles a prediction of a version as the consumer would: ``await log(known)``."""

    async def handle(known: KnownBins, version: int = 1) -> None:
        message = encode_batch([record(version=version, features=[0.5], scores=[0.6])], "tests", "i")
        async with database.begin() as tx:
            await handlers.on_predictions(tx, [SimpleNamespace(value=message.value)], room=Room(10**6), known=known)

    return handle


async def counted(database: Database) -> list[tuple[int, int, int]]:
    """Version, answers and those of them whose features were counted, part by part."""
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(window_parts).order_by(window_parts.c.seq))).all()
    parts = [(row.version, unpack(row.data, Summary)) for row in rows]
    return [(version, part.answered, part.rows) for version, part in parts]


async def test_the_first_predictions_of_a_version_wait_until_its_reference_is_read(
    database: Database, served: None, learner: Learner, log: Put
) -> None:
    known = KnownBins()
    for _ in range(2):
        with pytest.raises(Transient, match="m version 1: its reference is being read"):
            await log(known)
    async with database.begin() as tx:
        staged = (await tx.execute(sa.select(sa.func.count()).select_from(history_staged))).scalar_one()
    assert staged == 0, "what is handled again must not have had half of its effect"
    await learner.step()
    await log(known)
    assert await counted(database) == [(1, 1, 1)]


async def test_a_version_that_nobody_approved_is_not_waited_for_and_counted_by_its_reference_from_then_on(
    database: Database, served: None, approve: Put, learner: Learner, log: Put
) -> None:
    known = KnownBins()
    await log(known, version=2)
    await approve(2)
    await learner.step()
    await log(known, version=2)
    assert await counted(database) == [(2, 1, 0), (2, 1, 1)]


async def test_a_store_that_stays_away_holds_up_the_log_for_so_long_and_no_longer(
    database: Database, served: None, log: Put
) -> None:
    known = KnownBins(patience_s=0.0)
    await log(known)
    assert await counted(database) == [(1, 1, 0)]


async def test_a_version_without_a_reference_is_counted_without_features(
    database: Database, served: None, store: FolderStore, learner: Learner, log: Put
) -> None:
    for key in store.list("bundles/"):
        store.delete(key)
    await learner.step()
    async with database.begin() as tx:
        (row,) = (await tx.execute(sa.select(reference_bins))).all()
    assert row.bins is None and "missing" in row.problem
    await log(KnownBins())
    assert await counted(database) == [(1, 1, 0)]


async def test_an_approval_without_a_proper_signature_keeps_no_other_version_waiting(
    database: Database, served: None, approve: Put, learner: Learner, log: Put
) -> None:
    await approve(2, signature={"features": []})
    await learner.step()
    for version in (1, 2):
        await log(KnownBins(), version)
    assert await counted(database) == [(1, 1, 1), (2, 1, 0)]
