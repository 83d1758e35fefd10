"""What the trainer's tests share: a model file, and its database."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shipway.contract.envelope import Envelope
from shipway.contract.events import Event, ModelDeclared, SearchRequested, TrainingRequested
from shipway.runtime.consumer import Progress
from shipway.runtime.database import Database
from shipway.runtime.kafka import Producer
from shipway.runtime.objects import FolderStore
from shipway.runtime.parts import Parts
from shipway.runtime.relay import Relay
from shipway.runtime.settings import DataSettings, KafkaSettings, ObjectsSettings
from shipway.trainer import handlers
from shipway.trainer.barrier import Barrier
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.stages import key_of_output
from shipway.trainer.workplace import Workplace

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def _raw_spec(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "name": "m",
        "data": {"source": "folder:/nowhere", "time_column": "at", "train": "30d", "holdout": "5d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {"n": {"type": "number"}, "c": {"type": "category"}},
        "training": {"max_attempts": 2, "rounds": 20, "time_limit": "20s"},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
    }
    return raw | changes


def _envelope(payload: Event, event_id: str = "e", time: datetime = T0) -> Envelope:
    return Envelope(event_id, "client", time, payload)


@pytest.fixture
def raw_spec() -> Callable[..., dict[str, Any]]:
    """Gives a model file's content: ``raw_spec(name="other")``."""
    return _raw_spec


@pytest.fixture
def envelope() -> Callable[..., Envelope]:
    """Gives a payload as it came in: ``envelope(payload, event_id, time)``."""
    return _envelope


@pytest.fixture
async def database(open_database: Callable[[str], Awaitable[Database]]) -> Database:
    """The trainer's own, migrated."""
    return await open_database("trainer")


@pytest.fixture
def request_training(database: Database) -> Callable[..., Awaitable[None]]:
    """Declares the model and asks for a training: ``await request_training("r1", "m", description="x")``."""

    async def request(request_id: str = "r1", model: str = "m", *, declared: bool = True, **changes: Any) -> None:
        async with database.begin() as tx:
            if declared:
                told = ModelDeclared(model=model, spec=_raw_spec(name=model, **changes), declared_by="ann")
                await handlers.on_model_declared(tx, told, _envelope(told))
            asked = TrainingRequested(model=model, request_id=request_id)
            await handlers.on_training_requested(tx, asked, _envelope(asked))

    return request


@pytest.fixture
def request_search(database: Database) -> Callable[..., Awaitable[None]]:
    """Asks for a search of the model that request_training declares: ``await request_search("s", trials=3)``."""

    async def request(request_id: str = "s", **asked: Any) -> None:
        async with database.begin() as tx:
            wanted = SearchRequested(model="m", request_id=request_id, requested_by="ann", **asked)
            await handlers.on_search_requested(tx, wanted, _envelope(wanted))

    return request


@pytest.fixture
def place(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workplace:
    """Where runs are tried: the training is trainer_child, which does what the model's description says."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    producer = Producer(KafkaSettings(), "never started")
    parts = Parts("trainer", database, producer, Relay(database, producer, KafkaSettings()))
    barrier = Barrier(_all_read, time.monotonic)
    objects = FolderStore(tmp_path)
    for digest in "abcde":  # what the stages of trainer_child give
        objects.put(key_of_output("m", digest * 64), b"")
    settings = WorkerSettings(renew_s=0.1, declaration_grace_s=0)
    return Workplace(parts, settings, objects, ObjectsSettings(), DataSettings(), barrier, child="trainer_child")


async def _all_read() -> dict[int, Progress]:
    return {0: Progress(committed=1, end=1)}
