"""What the monitor's tests share: its database, a model file, events and batches as they come in."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from dashboard import yearly
from dashboard.pressing import Pressing, pressing

from services.monitor.tests.breaking import BINARY
from services.monitor.tests.handed import Said, Told
from shipway.bundle.golden import encode_golden
from shipway.bundle.manifest import Windows
from shipway.bundle.store import write_bundle
from shipway.contract import events as e
from shipway.contract.envelope import Envelope, Headers, decode
from shipway.contract.predictionbatch import encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.monitor import handlers
from shipway.monitor.learning import KnownBins
from shipway.monitor.staging import Room
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox
from shipway.runtime.objects import FolderStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)
Put = Callable[..., Awaitable[None]]
_ids = count()


def _raw_spec(name: str = "m", **changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "name": name,
        "data": {"source": "folder:/nowhere", "time_column": "at", "train": "30d", "holdout": "5d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {"n": {"type": "number"}},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
    }
    return raw | changes


def _record(outcome: Any = "answered", version: int | None = 1, at: datetime = T0, **changes: Any) -> PredictionRecord:
    values: dict[str, Any] = {
        "prediction_id": f"p{next(_ids)}",
        "at": at,
        "model": "m",
        "version": version,
        "generation": 1,
        "instance": "i",
        "role": "champion",
        "outcome": outcome,
        "reason": None,
        "latency_us": 10,
        "client_id": None,
        "trace_id": None,
        "features": None,
        "scores": None,
    }
    return PredictionRecord(**values | changes)


@pytest.fixture
def raw_spec() -> Callable[..., dict[str, Any]]:
    """Gives a model file's content: ``raw_spec("other")``."""
    return _raw_spec


@pytest.fixture
def record() -> Callable[..., PredictionRecord]:
    """Gives a prediction's record: ``record("failed", 2, at)``."""
    return _record


@pytest.fixture
async def database(open_database: Callable[[str], Awaitable[Database]]) -> Database:
    """The monitor's own, migrated."""
    return await open_database("monitor")


@pytest.fixture
def put(database: Database) -> Callable[..., Awaitable[None]]:
    """Handles an event as the consumer would: ``await put(payload, at, trace="a")``."""

    async def handle(payload: e.Event, at: datetime = T0, *, trace: str = "a", event_id: str | None = None) -> None:
        traceparent = f"00-{trace * 32}-{'b' * 16}-01"
        event = Envelope(event_id or f"e{next(_ids)}", "tests", at, payload, traceparent)
        async with database.begin() as tx:
            await handlers.handlers()[type(payload)](tx, payload, event)

    return handle


@pytest.fixture
def log(database: Database) -> Callable[..., Awaitable[None]]:
    """Handles a batch of the prediction log as the consumer would: ``await log([record()])``."""

    async def handle(records: Sequence[PredictionRecord]) -> None:
        message = encode_batch(list(records), "tests", "i")
        async with database.begin() as tx:
            await handlers.on_predictions(
                tx, [SimpleNamespace(value=message.value)], room=Room(1_000_000, every_s=0), known=KnownBins(0)
            )

    return handle


@pytest.fixture
def outgoing(database: Database) -> Callable[[], Awaitable[list[Envelope]]]:
    """Gives every event that was said, the oldest first."""

    async def read() -> list[Envelope]:
        async with database.begin() as tx:
            rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
        return [decode(row.value, msgspec.msgpack.decode(row.headers, type=Headers)) for row in rows]

    return read


@pytest.fixture
def said(outgoing: Callable[[], Awaitable[list[Envelope]]]) -> Said:
    """Gives the events of a type that were said, the oldest first: ``await said(AlertChanged)``."""

    async def of(kind: type[Told]) -> list[Told]:
        return [event.payload for event in await outgoing() if isinstance(event.payload, kind)]

    return of


@pytest.fixture
async def press(database: Database, tmp_path: Path) -> AsyncIterator[Pressing]:
    """Presses buttons as a signed-in operator, of a dashboard with some history."""
    await yearly.fill(database, days=2, stories=yearly.STORIES[:3])
    async with pressing(database, tmp_path) as bob:
        yield bob


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """An object store of its own."""
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def approve(put: Put, store: FolderStore) -> Put:
    """Approves a version whose bundle has a reference: ``await approve(2)``."""

    async def handle(version: int, **changes: Any) -> None:
        rows = np.random.default_rng(version).normal(size=(2000, 1))
        files = dict.fromkeys(["model.txt", "signature.json", "golden.parquet", "report.json", "spec.json"], b"{}")
        files["reference.parquet"] = encode_golden(rows, 1 / (1 + np.exp(-rows)), [200] * 10)
        bundle = write_bundle(store, files, model="m", library_versions={}, windows=Windows(T0, T0, T0, T0))
        values: dict[str, Any] = {"request_id": "r", "gates": [], "metrics": {"accuracy": 0.9, "log_loss": 0.3}}
        values |= {"champion_version": None, "champion_metrics": {}, "signature": BINARY, "release": {}}
        values |= {"digest": bundle.digest, "prediction_log": {}}
        await put(e.ModelApproved(model="m", version=version, **values | changes))

    return handle


@pytest.fixture
async def served(put: Put, approve: Put) -> None:
    """A declared model with an approved version."""
    await put(e.ModelDeclared(model="m", spec=_raw_spec(), declared_by="ann"))
    await approve(1)
