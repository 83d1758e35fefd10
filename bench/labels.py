"""What labels cost: ``.venv/bin/python bench/labels.py``. So many predictions lie in the history, as files of 50,000,
and some of them get a label, in batches as the gateway sends them. Measured are taking labels in, and joining them to
their predictions and filing them, each with PostgreSQL's share.
"""

import argparse
import asyncio
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from monitored import MODEL, answered, monitor_database

from shipway.contract.envelope import Envelope
from shipway.contract.events import Label, LabelsReceived, ModelApproved, ModelDeclared
from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.signature import Feature, Signature, to_builtins
from shipway.embedded.supervisor import Supervisor
from shipway.monitor import handlers, labels, staging, store
from shipway.monitor.historian import Historian
from shipway.monitor.joiner import Joiner
from shipway.monitor.references import References
from shipway.monitor.settings import HistorySettings, LabelSettings
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore
from shipway.runtime.prediction_ids import as_text, new_ids

FEATURES = 20
SPEC = {
    "name": MODEL,
    "data": {"source": "folder:/nowhere", "time_column": "at", "train": "30d", "holdout": "5d"},
    "target": {"column": "y", "kind": "binary"},
    "features": {f"x{i}": {"type": "number"} for i in range(FEATURES)},
    "retirement": {"max_age": "30d", "unused_for": "1d"},
}


async def main() -> None:
    """Measures, and says what it found."""
    parser = argparse.ArgumentParser(prog="bench/labels.py", description=__doc__)
    parser.add_argument("--predictions", type=int, default=400_000)
    parser.add_argument("--labels", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as name:
        async with monitor_database(Path(name)) as (database, supervisor):
            await _measure(database, Path(name), supervisor, options)


async def _measure(database: Database, folder: Path, supervisor: Supervisor, options: Any) -> None:
    objects = FolderStore(folder / "objects")
    ids = await _predict(database, objects, options.predictions)
    server = supervisor.pid("postgres")
    assert server is not None
    made = [
        Label(prediction_id=one, label=bool(n % 2), observed_at=datetime.now(UTC))
        for n, one in enumerate(random.Random(1).sample(ids, options.labels))
    ]

    async def take() -> None:
        for begin in range(0, len(made), 1000):
            await _handle(database, LabelsReceived(model=MODEL, labels=made[begin : begin + 1000]))

    parts: Any = SimpleNamespace(database=database, source="shipway/monitor", relay=SimpleNamespace(wake=lambda: None))
    joiner = Joiner(parts, objects, References(database, objects), LabelSettings(file_every_s=3600))

    async def join() -> None:
        joiner._rest_until = 0.0
        while await joiner.step() or await _due(database):
            joiner._rest_until = 0.0

    print(f"{options.labels} labels of {options.predictions} predictions of {FEATURES} features:")
    for what, step in (("taken in", take), ("joined and filed", join)):
        begun, cpu_s, server_s = time.monotonic(), _cpu_s(), _cpu_s(server)
        await step()
        took_s, per = time.monotonic() - begun, 100_000 / options.labels
        print(
            f"  {what}: {options.labels / took_s:,.0f}/s; for 100,000: {per * (_cpu_s() - cpu_s):.2f} CPU s of the"
            f" monitor, {per * (_cpu_s(server) - server_s):.2f} of PostgreSQL"
        )
    print(f"  {psutil.Process().memory_info().rss / 1e6:.0f} MB of memory")


async def _predict(database: Database, objects: FolderStore, count: int) -> list[str]:
    await _handle(database, ModelDeclared(model=MODEL, spec=SPEC, declared_by="bench"))
    features = [Feature(name=f"x{i}", type="number") for i in range(FEATURES)]
    signature = to_builtins(Signature(features=features, output="binary", target="y", classes=["false", "true"]))
    values: dict[str, Any] = {"gates": [], "metrics": {}, "champion_version": None, "champion_metrics": {}}
    values |= {"signature": signature, "release": {}, "prediction_log": {}}
    await _handle(database, ModelApproved(model=MODEL, version=1, digest="d", request_id="r", **values))
    historian = Historian(database, objects, HistorySettings(roll_s=1e-6))
    rng, ids = random.Random(2), []
    for begin in range(0, count, 50_000):
        at = datetime.now(UTC) - timedelta(hours=2) + timedelta(seconds=begin / 100)
        made = as_text(new_ids(min(50_000, count - begin)))
        ids += made
        drawn = [[rng.random() for _ in range(FEATURES)] for _ in made]
        records = [answered(one, at, row, row[0], "a" * 32) for one, row in zip(made, drawn, strict=True)]
        for part in range(0, len(records), 2_000):
            batch = decode_batch(encode_batch(records[part : part + 2_000], "bench", "bench").value)
            async with database.begin() as tx:
                await staging.stage(tx, batch)
                await store.add_usage(tx, batch)
        while await historian.step():
            pass
    return ids


async def _handle(database: Database, payload: Any) -> None:
    async with database.begin() as tx:
        event = Envelope(f"{time.monotonic_ns()}", "bench", datetime.now(UTC), payload)
        await handlers.handlers()[type(payload)](tx, payload, event)


async def _due(database: Database) -> bool:
    async with database.begin() as tx:
        return bool(await labels.models_due(tx))


def _cpu_s(pid: int | None = None) -> float:
    process = psutil.Process(pid)
    tree = [process, *process.children(recursive=True)] if pid else [process]
    times = [p.cpu_times() for p in tree]
    return float(sum(t.user + t.system + t.children_user * bool(pid) + t.children_system * bool(pid) for t in times))


if __name__ == "__main__":
    asyncio.run(main())
