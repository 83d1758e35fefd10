"""What the prediction log costs its reader: ``.venv/bin/python bench/history.py``. A monitor on the embedded stack
reads so many records, which lie there already, counts them and writes them to the Parquet history.
"""

import argparse
import asyncio
import math
import random
import tempfile
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import psutil
from monitored import MODEL, answered
from prometheus_client.parser import text_string_to_metric_families

from shipway.contract.events import ModelApproved
from shipway.contract.predictionbatch import encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.signature import Feature, Signature, to_builtins
from shipway.contract.topics import PREDICTION_LOG
from shipway.embedded.stack import prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.kafka import Producer
from shipway.runtime.provision import provision
from shipway.runtime.settings import KafkaSettings

FEATURES = 20


async def main() -> None:
    """Measures, and says what it found."""
    parser = argparse.ArgumentParser(prog="bench/history.py", description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--batch-rows", type=int, default=2_000, help="of a message; predictors send 2000 at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as name:
        quick = {"SHIPWAY_MONITOR__HISTORY__ROLL_S": "3"}
        plan = prepare(Path(name), services=["monitor"], usual_ports={}, durable=False, env=quick)
        async with Supervisor(plan) as supervisor:
            await supervisor.wait_ready()
            monitor = supervisor.pid("monitor")
            server = supervisor.pid("postgres")
            assert monitor is not None and server is not None
            await _send(KafkaSettings(bootstrap=plan.kafka), 4_000, options.batch_rows)
            await _until(supervisor, 4_000)
            begun, cpu_s, server_s = time.monotonic(), _cpu_s(monitor), _cpu_s(server)
            await _send(KafkaSettings(bootstrap=plan.kafka), options.records, options.batch_rows)
            sent_s = time.monotonic() - begun
            await _until(supervisor, 4_000 + options.records)
            took_s = time.monotonic() - begun
            per = 100_000 / options.records
            print(f"{options.records} records of {FEATURES} features in batches of {options.batch_rows}:")
            print(f"  {options.records / took_s:,.0f} records/s in and filed (sending alone took {sent_s:.1f} s)")
            print(f"  {per * (_cpu_s(monitor) - cpu_s):.2f} CPU s of the monitor for 100,000 records")
            print(f"  {per * (_cpu_s(server) - server_s):.2f} CPU s of PostgreSQL")
            print(f"  {psutil.Process(monitor).memory_info().rss / 1e6:.0f} MB of memory")


async def _send(kafka: KafkaSettings, records: int, batch_rows: int) -> None:
    rng = random.Random(1)
    await provision(kafka)
    producer = Producer(kafka, "bench")
    await producer.start()
    try:
        features = [Feature(name=f"x{i}", type="number") for i in range(FEATURES)]
        signature = to_builtins(Signature(features=features, output="regression", target="y"))
        approved = ModelApproved(
            model=MODEL,
            version=1,
            digest="d",
            request_id="r",
            gates=[],
            metrics={},
            champion_version=None,
            champion_metrics={},
            signature=signature,
            release={},
            prediction_log={},
        )
        await producer.publish("bench", approved, event_id="approved")
        for _ in range(records // batch_rows):
            batch = [_record([rng.random() for _ in range(FEATURES)]) for _ in range(batch_rows)]
            message = encode_batch(batch, "bench", "bench")
            await producer.send(PREDICTION_LOG.name, message.key, message.value, message.headers)
    finally:
        await producer.stop()


def _record(features: list[float]) -> PredictionRecord:
    return answered(uuid.uuid4().hex, datetime.now(UTC), features, math.fsum(features), uuid.uuid4().hex)


async def _until(supervisor: Supervisor, records: int) -> None:
    """Waits until the monitor has counted so many, and filed what it has counted."""
    url = supervisor.state().monitor_url
    while True:
        page = await asyncio.to_thread(lambda: urlopen(f"{url}/metrics").read().decode())
        found: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                found[sample.name] += sample.value
        if min(found["shipway_log_records_total"], found["shipway_history_records_total"]) >= records:
            return
        await asyncio.sleep(0.1)


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
    return float(sum(t.user + t.system + t.children_user + t.children_system for t in times))


if __name__ == "__main__":
    asyncio.run(main())
