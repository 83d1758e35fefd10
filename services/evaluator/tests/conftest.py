"""What the evaluator's tests share: data, a small real version of it, its parts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from shipway.bundle.datasets import read_window
from shipway.bundle.features import encode_table, encode_target, learn_signature
from shipway.bundle.golden import encode_golden
from shipway.bundle.ranking import in_queries, sizes_of
from shipway.bundle.store import write_bundle
from shipway.bundle.windows import windows_of
from shipway.contract import signature as signatures
from shipway.contract import spec as specs
from shipway.contract.envelope import Envelope, decode
from shipway.contract.events import Payload, TrainingCompleted
from shipway.evaluator import handlers
from shipway.evaluator.evidence import Court
from shipway.evaluator.judge import Judge
from shipway.evaluator.settings import JudgeSettings
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox
from shipway.runtime.kafka import Producer
from shipway.runtime.objects import FolderStore
from shipway.runtime.parts import Parts
from shipway.runtime.relay import Relay
from shipway.runtime.settings import DataSettings, KafkaSettings, ObjectsSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 2000
UNTIL = T0 + timedelta(minutes=30 * ROWS)


@dataclass
class Room:
    """A folder of data, an object store, the evaluator's database; versions are made and judged in it."""

    folder: Path
    database: Database
    settings: JudgeSettings = field(default_factory=lambda: JudgeSettings(wait_s=0.01))
    child: str = "shipway.evaluator.child"

    def __post_init__(self) -> None:
        rng = np.random.default_rng(3)
        n = rng.normal(size=ROWS)
        y = n + rng.normal(size=ROWS) > 0
        data = {
            "at": pa.array([T0 + timedelta(minutes=30 * i) for i in range(ROWS)]),
            "n": pa.array(n),
            "z": pa.array(rng.normal(size=ROWS)),
            "part": pa.array((np.arange(ROWS) % 4 == 0).astype(float)),
            "told": pa.array(y.astype(float) + 0.01 * rng.normal(size=ROWS)),
            "y": pa.array(y),
            "q": pa.array((np.arange(ROWS) + 5) // 10),
            "half": pa.array((np.arange(ROWS) + 5) // 10 % 2),
        }
        (self.folder / "data").mkdir()
        pq.write_table(pa.table(data), self.folder / "data" / "rows.parquet")
        self.store = FolderStore(self.folder / "objects")

    def version(self, *, trees: int = 10, features: tuple[str, ...] = ("n",), **changes: Any) -> str:
        """Trains a version and writes its bundle; gives the digest."""
        raw = {
            "name": "m",
            "data": {
                "source": f"folder:{self.folder}/data",
                "time_column": "at",
                "train": "30d",
                "holdout": "5d",
            },
            "target": {"column": "y", "kind": "binary"},
            "features": {name: {"type": "number"} for name in features},
            "retirement": {"max_age": "30d", "unused_for": "1d"},
            "prediction_log": {"sample": 0.5},
        }
        spec = specs.parse_spec(raw | changes)
        windows = windows_of(spec, UNTIL)
        table = read_window(self.store, spec, windows.train_from, windows.train_to, DataSettings(folders="/"))
        signature = learn_signature(spec, table)
        table, queries = in_queries(spec, table)
        matrix, (labels, _) = encode_table(signature, table), encode_target(signature, table)
        objective = "binary" if queries is None else "lambdarank"
        quiet = {"objective": objective, "num_leaves": 7, "verbosity": -1, "num_threads": 1}
        data = lightgbm.Dataset(matrix, labels, group=None if queries is None else sizes_of(queries))
        text = lightgbm.train(quiet, data, trees).model_to_string()
        golden = lightgbm.Booster(model_str=text).predict(matrix[:20]).reshape(-1, 1)
        positive = float(labels.mean())
        files = {
            "model.txt": text.encode(),
            "signature.json": msgspec.json.encode(signatures.to_builtins(signature)),
            "golden.parquet": encode_golden(matrix[:20], golden),
            "reference.parquet": encode_golden(matrix[:20], golden),
            "report.json": msgspec.json.encode({"label": {"shares": {"false": 1 - positive, "true": positive}}}),
            "spec.json": msgspec.json.encode(specs.to_builtins(spec)),
        }
        return write_bundle(self.store, files, model=spec.name, library_versions={}, windows=windows).digest

    async def completed(self, digest: str, version: int = 1, origin: str = "training") -> None:
        """Tells the evaluator of a version."""
        told = TrainingCompleted(
            model="m",
            request_id=f"r{version}",
            version=version,
            digest=digest,
            bundle_bytes=1,
            training_rows=1,
            set_aside_rows={},
            train_from=T0,
            train_to=T0,
            holdout_from=T0,
            holdout_to=T0,
            metrics={},
            duration_s=1.0,
            origin=origin,
        )
        async with self.database.begin() as tx:
            await handlers.on_training_completed(
                tx, told, Envelope("e", "shipway/trainer", T0, told), asked=lambda: None
            )

    def judge(self) -> Judge:
        """The judge, with real parts but for the broker."""
        producer = Producer(KafkaSettings(), "never started")
        parts = Parts("evaluator", self.database, producer, Relay(self.database, producer, KafkaSettings()))
        objects, data = ObjectsSettings(url=f"file://{self.store._folder}"), DataSettings(folders=str(self.folder))
        return Judge(parts, Court(self.store, objects, data, self.settings, self.child))

    async def told(self) -> list[Payload]:
        """What the outbox holds."""
        async with self.database.begin() as tx:
            rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
        headers = [msgspec.msgpack.decode(row.headers, type=list[tuple[str, bytes]]) for row in rows]
        return [decode(row.value, header).payload for row, header in zip(rows, headers, strict=True)]


@pytest.fixture
async def room(tmp_path: Path, open_database: Callable[[str], Awaitable[Database]]) -> Room:
    """The evaluator's room."""
    return Room(tmp_path, await open_database("evaluator"))
