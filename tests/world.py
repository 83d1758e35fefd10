"""A whole Shipway for tests: real processes on the embedded stack, a client, and a record of every message."""

import asyncio
import json
import math
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from containers import Containers, containers
from prometheus_client.parser import text_string_to_metric_families
from records import Filed, Logged

from shipway.client import Addresses, AsyncShipway, Journey, ShipwayError
from shipway.contract.envelope import Envelope, decode
from shipway.contract.errors import Permanent
from shipway.contract.events import Payload
from shipway.contract.spec import ModelSpec, parse_spec
from shipway.contract.topics import TOPICS
from shipway.embedded.stack import prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.kafka import Producer, client_arguments, stop_bounded
from shipway.runtime.objects import ObjectStore, open_store
from shipway.runtime.settings import KafkaSettings, ObjectsSettings

P = TypeVar("P", bound=Payload)
T = TypeVar("T")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
STACK = os.environ.get("SHIPWAY_TEST_STACK", "embedded")
LAST = datetime(2026, 3, 1, tzinfo=UTC)
QUICK = {
    "SHIPWAY__KAFKA__BEAT_S": "1",
    "SHIPWAY__DATA__HISTORY_LAG_S": "0",
    "SHIPWAY_MONITOR__HISTORY__ROLL_S": "1",
    "SHIPWAY_MONITOR__WATCH_BEAT_S": "0.5",
    "SHIPWAY_MONITOR__LABELS__SEARCH_AGAIN_S": "0.5",
    "SHIPWAY_MONITOR__LABELS__FILE_EVERY_S": "1",
    "SHIPWAY_MONITOR__LABELS__TELL_EVERY_S": "1",
}


async def eventually(look: Callable[[], Awaitable[T]], what: str, within_s: float = 60.0) -> T:
    """What ``look`` gives once it is true; fails with ``what`` when that does not happen in time."""
    deadline = time.monotonic() + within_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = await look()
        except (httpx.HTTPError, OSError, ShipwayError) as err:
            last = err
        else:
            if found:
                return found
            last = found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {within_s:.0f} s: {what}; last seen: {last!r}")


@dataclass
class Recorder:
    """Every message on every topic, from the start, across losses of the broker."""

    records: list[ConsumerRecord] = field(default_factory=list)
    _decoded: list[Envelope] = field(default_factory=list)
    _seen: int = 0

    def envelopes(self) -> list[Envelope]:
        """The events among them, each as often as it came."""
        for record in self.records[self._seen :]:
            self._seen += 1
            with suppress(Permanent):
                self._decoded.append(decode(record.value, list(record.headers)))
        return self._decoded

    def payloads(self, kind: type[P], **wanted: Any) -> list[P]:
        """The events of a type with these fields, each event once."""
        seen: dict[tuple[str, str], P] = {}
        for event in self.envelopes():
            payload = event.payload
            if isinstance(payload, kind) and all(getattr(payload, k) == v for k, v in wanted.items()):
                seen[(event.source, event.id)] = payload
        return list(seen.values())

    async def follow(self, settings: KafkaSettings) -> None:
        """Records until cancelled."""
        while True:
            consumer = AIOKafkaConsumer(
                **client_arguments(settings), enable_auto_commit=False, auto_offset_reset="earliest"
            )
            try:
                async with asyncio.timeout(10):  # with the broker away these may wait for ever
                    await consumer.start()
                    places = [TopicPartition(t.name, p) for t in TOPICS for p in range(t.partitions)]
                    consumer.assign(places)
                    await consumer.seek_to_beginning(*places)
                ends = await consumer.end_offsets(places)
                while True:
                    before = {place: await consumer.position(place) for place in places}
                    until = time.monotonic() + 3
                    while time.monotonic() < until:
                        for batch in (await consumer.getmany(timeout_ms=200)).values():
                            self.records.extend(batch)
                    after = {place: await consumer.position(place) for place in places}
                    stuck = any(after[place] == before[place] < ends[place] for place in places)
                    async with asyncio.timeout(10):
                        last, ends = ends, await consumer.end_offsets(places)
                    if stuck or any(ends[place] < last[place] for place in places):
                        break  # aiokafka's consumer hangs, or the broker lost what it had: again from the start
            except OSError:
                await asyncio.sleep(0.2)
            except Exception as err:
                if type(err).__module__ != "aiokafka.errors":
                    raise
                await asyncio.sleep(0.2)
            finally:
                await stop_bounded(consumer.stop(), 2)


@dataclass
class World:
    """A running Shipway."""

    supervisor: Supervisor
    shipway: AsyncShipway
    recorder: Recorder
    folder: Path
    containers: Containers | None = None

    @property
    def kafka(self) -> KafkaSettings:
        """How its broker is reached."""
        return self.shipway.addresses.kafka

    @property
    def gateway(self) -> str:
        """The gateway's URL."""
        return self.shipway.addresses.gateway

    @property
    def store_environment(self) -> dict[str, str]:
        """What whoever runs Shipway on a store of their own sets, for commands to find it."""
        given = self.containers.external.objects if self.containers is not None else None
        return {f"SHIPWAY__OBJECTS__{name}": value for name, value in (given or {}).items()}

    @property
    def store(self) -> ObjectStore:
        """Its object store."""
        return open_store(self.shipway.addresses.objects)

    async def declare(self, name: str, kind: str = "binary", **changes: Any) -> ModelSpec:
        """Declares a model on fresh data of its kind."""
        spec = make_model(self.folder / "data" / name, name, kind, **changes)
        await self.shipway.declare(spec)
        return spec

    async def train(self, model: str, until: datetime | None = None, within_s: float = 120.0) -> Journey:
        """Requests a training and follows it to its end."""
        async with asyncio.timeout(within_s):
            journeys = [journey async for journey in self.shipway.train(model, until=until)]
        return journeys[-1]

    async def publish(self, payload: Payload, event_id: str | None = None) -> None:
        """Publishes an event as any program could."""
        async with self.producer() as producer:
            await producer.publish("test", payload, event_id=event_id)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        """A producer of any messages."""
        producer = Producer(self.kafka, "test")
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[Recorder]:
        """A recorder of its own, of what the broker has now and gets."""
        recorder = Recorder()
        following = asyncio.create_task(recorder.follow(self.kafka))
        try:
            yield recorder
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def event(self, kind: type[P], within_s: float = 60.0, **wanted: Any) -> P:
        """Waits for an event of a type with these fields."""

        async def look() -> list[P]:
            return self.recorder.payloads(kind, **wanted)

        return (await eventually(look, f"{kind.__name__} with {wanted}", within_s))[0]

    async def all_in_history(self, model: str) -> None:
        """Waits until the Parquet history has each record of the prediction log once, and none besides."""
        logged, filed = Logged(self.recorder.records, model), Filed(self.store, model)

        async def same() -> bool:
            return logged.read() == filed.read() and bool(logged.names)

        await eventually(same, f"the history of {model} is the prediction log")
        assert set(logged.read().values()) == {1}

    async def ready(self) -> None:
        """Waits until every process is ready."""
        await self.supervisor.wait_ready(timeout_s=120)

    async def kill(self, name: str) -> None:
        """Kills a process with SIGKILL, and waits until it is up and ready again."""
        if self.containers is not None and name in self.containers.running:
            await asyncio.to_thread(self.containers.kill, name)
            return
        before = self.supervisor.pid(name)
        self.supervisor.kill(name)

        async def again() -> bool:
            return self.supervisor.pid(name) not in (None, before)

        await eventually(again, f"{name} is started again")
        await self.supervisor.wait_ready([name], timeout_s=120)

    async def metric(self, service: str, name: str) -> float:
        """A metric of a service, summed over its labels."""
        return (await self.metrics(service))[name]

    async def metrics(self, service: str) -> Counter[str]:
        """All metrics of a service at one moment, each summed over its labels."""
        url = self.supervisor.state().service_urls[service]
        async with httpx.AsyncClient(timeout=5) as client:
            page = (await client.get(f"{url}/metrics")).text
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                found[sample.name] += sample.value  # type: ignore[assignment]
        return found


@asynccontextmanager
async def world(folder: Path, predictors: int = 2, env: Mapping[str, str] = QUICK) -> AsyncIterator[World]:
    """Starts a Shipway in a folder, with settings in ``env``, and ends it; its logs are kept where a test failed.

    Its parts are the embedded ones or, with SHIPWAY_TEST_STACK=containers, those of docker-compose.yml.
    """
    with containers() if STACK == "containers" else nullcontext() as parts:
        plan = prepare(
            folder,
            predictors=predictors,
            usual_ports={},
            durable=False,
            external=parts.external if parts else None,
            env=dict(env),
        )
        async with Supervisor(plan) as supervisor:
            await supervisor.wait_ready()
            async with used(supervisor, folder, plan.kafka_settings, parts) as running:
                yield running


@asynccontextmanager
async def used(
    supervisor: Supervisor, folder: Path, kafka: KafkaSettings, parts: Containers | None = None
) -> AsyncIterator[World]:
    """A Shipway that runs, as tests use it."""
    state = supervisor.state()
    assert state.gateway_url is not None and state.monitor_url is not None
    recorder = Recorder()
    following = asyncio.create_task(recorder.follow(kafka))
    try:
        given = parts.external.objects if parts else None
        found = {k.lower(): v for k, v in (given or {"URL": (folder / "objects").as_uri()}).items()}
        objects = ObjectsSettings.model_validate(found)
        trainer = state.service_urls["trainer"]
        where = Addresses(state.gateway_url, state.monitor_url, kafka, trainer=trainer, objects=objects)
        async with AsyncShipway(where) as shipway:
            yield World(supervisor, shipway, recorder, folder, parts)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


IN_A_QUERY = 6


def make_rows(kind: str, n: int = 3000, seed: int = 1) -> list[dict[str, Any]]:
    """Rows whose target can be learnt: two numbers, a category, a boolean, some of them missing."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        size, age = rng.uniform(0, 10), rng.gauss(0, 1)
        colour, flag = rng.choice(["red", "green", "blue"]), rng.random() < 0.4
        signal = size - 5 + 2 * (colour == "red") - 2 * flag + 0.5 * age + rng.gauss(0, 0.5)
        target: Any = signal
        if kind == "binary":
            target = signal > 0
        elif kind == "multiclass":
            target = "low" if signal < -2 else "high" if signal > 2 else "middle"
        elif kind == "ranking":
            target = min(max(round(signal / 2 + 1), 0), 3)
        moment = i // IN_A_QUERY * IN_A_QUERY if kind == "ranking" else i
        rows.append(
            {
                "at": T0 + timedelta(seconds=moment * (LAST - T0).total_seconds() / n),
                "query": f"{seed}-{i // IN_A_QUERY}",
                "size": None if i % 37 == 0 else size,
                "age": age,
                "colour": None if i % 53 == 0 else colour,
                "flag": flag,
                "y": None if i % 101 == 0 else target,
            }
        )
    return rows


def features_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a client sends it."""
    return {name: row[name] for name in ("size", "age", "colour", "flag")}


def make_model(folder: Path, name: str, kind: str = "binary", **changes: Any) -> ModelSpec:
    """Writes a model's data, and gives its spec: quick to train and to roll out."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(make_rows(kind)), folder / "rows.parquet")
    raw: dict[str, Any] = {
        "name": name,
        "data": {"source": f"folder:{folder}", "time_column": "at", "train": "40d", "holdout": "10d"},
        "target": {"column": "y", "kind": kind},
        "features": {
            "size": {"type": "number"},
            "age": {"type": "number", "nullable": False},
            "colour": {"type": "category"},
            "flag": {"type": "boolean"},
        },
        "training": {"rounds": 30, "threads": 1, "params": {"num_leaves": 7, "min_data_in_leaf": 20}},
        "gates": {"max_regression": 0.05},
        "release": {"min_instances": 2, "canary": [0.5], "step": "300ms", "min_requests": 0, "step_deadline": "20s"},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
    }
    if kind == "ranking":
        raw["data"]["query_column"] = "query"
    for path, value in changes.items():
        section, _, key = path.partition("__")
        raw[section] = raw[section] | {key: value} if key else value
    return parse_spec(raw)


def finite(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, float) and math.isfinite(value)


def problem(response: httpx.Response) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert response.headers["content-type"].startswith("application/problem+json"), response.text
    found: dict[str, Any] = json.loads(response.text)
    assert found["status"] == response.status_code
    return found
