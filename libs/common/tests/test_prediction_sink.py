"""answered + inherited = logged + dropped + waiting, whatever the broker, the disk and the process do."""

import asyncio
import dataclasses
import os
import random
import signal
import string
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter

from shipway.contract.envelope import WireMessage
from shipway.contract.errors import InvalidField, Permanent, Transient
from shipway.contract.events import MAX_BYTES
from shipway.contract.predictionbatch import decode_batch
from shipway.contract.predictionlog import AnsweredRows, PredictionRecord
from shipway.runtime.prediction_metrics import ANSWERED, DROPPED, INHERITED, LOGGED
from shipway.runtime.prediction_sink import PredictionSink
from shipway.runtime.spool import Spool

HERE = Path(__file__).parent
MEMORY = {"max_bytes": 10**7, "memory_bytes": 10**7}


def record(number: int, model: str, outcome: Any = "answered") -> PredictionRecord:
    return PredictionRecord(
        str(number), datetime.now(UTC), model, 1, 1, "i", "champion", outcome, None, 5, None, None, [1.0], [0.5]
    )


def rows(first: int, how_many: int, model: str, features: int = 1) -> AnsweredRows:
    ids = [str(first + i) for i in range(how_many)]
    numbers = np.random.default_rng(first).normal(size=(how_many, features))
    at = datetime.now(UTC)
    return AnsweredRows(ids, ids, None, at, model, 1, 1, "i", "champion", 5, numbers, None, np.zeros((how_many, 1)))


def count(metric: Counter, model: str) -> float:
    return float(metric.labels(model, 1)._value.get())


class Broker:
    """Takes batches, or not, as it is told; knows each batch once, as the inbox of the log's reader does."""

    def __init__(self) -> None:
        self.mood = "away"
        self.seen: set[bytes] = set()
        self.ids: list[str] = []

    async def send(self, message: WireMessage) -> None:
        if self.mood == "refuse":
            raise Permanent("too large")
        if self.mood != "away":
            if (batch := dict(message.headers)["ce_id"]) not in self.seen:
                self.seen.add(batch)
                self.ids += decode_batch(message.value)["prediction_id"].to_pylist()
            if self.mood == "send":
                return
        raise Transient("away, or the answer was lost")


def a_sink(broker: Broker, spool: Spool, batch_rows: int = 3) -> PredictionSink:
    return PredictionSink(broker.send, spool, source="s", instance="i", batch_rows=batch_rows)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "spool"


async def step(sink: PredictionSink) -> None:
    """A turn of the sink's loops."""
    if sink._waiting:
        await sink._spool_batch()
    with suppress(Transient):
        await sink._deliver_batch()


async def test_records_of_wide_models_go_in_messages_that_brokers_take() -> None:
    model, rng, sizes = uuid.uuid4().hex, random.Random(1), []
    wide = [dataclasses.replace(record(n, model), features=[rng.random() for _ in range(800)]) for n in range(500)]
    broker = Broker()
    broker.mood = "send"

    async def send(message: WireMessage) -> None:
        sizes.append(len(message.value or b""))
        await broker.send(message)

    sink = PredictionSink(send, Spool(None, max_bytes=10**8, memory_bytes=10**8), source="s", instance="i")
    for one in wide:
        sink.put(one)
    await sink.close()
    assert broker.ids == [r.prediction_id for r in wide]
    assert len(sizes) > 3 and max(sizes) <= MAX_BYTES < 2.5 * max(sizes)
    assert count(LOGGED, model) == count(ANSWERED, model) == len(wide)


async def test_rows_that_clients_name_at_length_go_in_messages_that_brokers_take() -> None:
    rng, sizes, counts = random.Random(1), [], []

    async def send(message: WireMessage) -> None:
        sizes.append(len(message.value or b""))
        counts.append(len(decode_batch(message.value)))

    sink = PredictionSink(send, Spool(None, max_bytes=0, memory_bytes=10**8), source="s", instance="i")
    made = rows(0, 5000, uuid.uuid4().hex, features=20)
    names = ["".join(rng.choices(string.printable, k=200)) for _ in range(len(made))]
    ids = rng.randbytes(16 * len(made))
    sink.put_answered(msgspec.structs.replace(made, client_ids=names, prediction_ids=ids, trace_ids=ids))
    await sink.close()
    assert sum(counts) == 5000 and max(sizes) <= MAX_BYTES


@given(
    steps=st.lists(
        st.sampled_from(["put", "put", "put many", "send", "away", "refuse", "unheard", "killed"]), max_size=40
    ),
    on_disk=st.booleans(),
    small=st.booleans(),
)
def test_every_answer_is_accounted_for(
    steps: list[str], on_disk: bool, small: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("spool") if on_disk else None
    limits = {"max_bytes": 2 * 4096, "memory_bytes": 3000} if small else MEMORY
    asyncio.run(_account(uuid.uuid4().hex, [s for s in steps if on_disk or s != "killed"], root, limits))


async def _account(model: str, steps: list[str], root: Path | None, limits: dict[str, int]) -> None:
    broker = Broker()
    sink = a_sink(broker, Spool(root, **limits))
    put, lives = 0, 1
    inherited_before = 0.0
    for what in steps:
        if what == "put":
            sink.put(record(put, model))
            put += 1
        elif what == "put many":
            sink.put_answered(rows(put, 1 + put % 8, model))
            put += 1 + put % 8
        elif what == "killed":
            _die(sink)
            sink, lives = a_sink(broker, Spool(root, **limits)), lives + 1
        else:
            broker.mood = what
            await step(sink)
        assert sink._answers_waiting() == (count(ANSWERED, model) - count(LOGGED, model) - count(DROPPED, model)), (
            "what the dead left is what the next one has"
        )
        assert count(INHERITED, model) >= inherited_before
        inherited_before = count(INHERITED, model)
    broker.mood = "send"
    await sink.close()
    assert count(ANSWERED, model) == put == count(LOGGED, model) + count(DROPPED, model)
    assert len(broker.ids) == len(set(broker.ids)) and len(broker.ids) >= count(LOGGED, model)
    if "refuse" not in steps and not limits["max_bytes"] < 10**6:
        assert len(broker.ids) == count(LOGGED, model)


def _die(sink: PredictionSink) -> None:
    """What the kernel does with a process that is killed."""
    home = sink._spool.home
    assert home is not None
    for one in [home, *sink._spool._earlier]:
        one.ledger.close()
        os.close(one.lock)


@asynccontextmanager
async def running(sink: PredictionSink) -> AsyncIterator[None]:
    task = asyncio.create_task(sink.run())
    try:
        yield
    finally:
        await sink.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(look: Any, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not look():
            await asyncio.sleep(0.01)


async def test_refused_requests_are_logged_but_are_no_answers() -> None:
    broker = Broker()
    broker.mood = "send"
    sink = a_sink(broker, Spool(None, **MEMORY))
    async with running(sink):
        sink.put(record(1, "refusing", "refused"))
        await until(lambda: broker.ids)
    assert count(ANSWERED, "refusing") == 0 == count(LOGGED, "refusing")


@pytest.mark.parametrize("on_disk", [True, False])
async def test_a_batch_tried_again_keeps_its_id(root: Path, on_disk: bool) -> None:
    seen: list[bytes] = []

    async def send(message: WireMessage) -> None:
        seen.append(dict(message.headers)["ce_id"])
        if len(seen) == 1:
            raise Transient("no acknowledgement: it may be there or not")

    sink = PredictionSink(send, Spool(root if on_disk else None, **MEMORY), source="s", instance="i")
    sink.put(record(1, "again"))
    await step(sink)
    sink.put(record(2, "again"))
    await step(sink)
    await step(sink)
    assert seen[0] == seen[1] != seen[2]


async def test_what_waits_at_the_stop_is_sent_by_the_next_process(root: Path) -> None:
    broker = Broker()
    first = a_sink(broker, Spool(root, **MEMORY))
    async with running(first):
        for number in range(10):
            first.put(record(number, "left"))
        await until(lambda: first._spool.answers == 10)
        await first.close(within_s=0.01)
    assert (count(LOGGED, "left"), count(DROPPED, "left")) == (0, 0)
    broker.mood = "send"
    second = a_sink(broker, Spool(root, **MEMORY))
    assert count(INHERITED, "left") == 10
    async with running(second):
        await until(lambda: len(broker.ids) == 10)
    assert (count(LOGGED, "left"), count(DROPPED, "left")) == (10, 0)
    assert list(root.iterdir()) == [], "nothing is left where nothing waits"


async def test_a_torn_batch_is_counted_as_dropped(root: Path) -> None:
    broker = Broker()
    sink = a_sink(broker, Spool(root, **MEMORY))
    for number in range(6):
        sink.put(record(number, "torn"))
    await step(sink)
    await step(sink)
    _die(sink)
    torn, _whole = sorted(root.glob("*/*.batch"))
    torn.write_bytes(torn.read_bytes()[:-1])
    broker.mood = "send"
    successor = a_sink(broker, Spool(root, **MEMORY))
    await successor.close()
    assert (count(INHERITED, "torn"), count(LOGGED, "torn"), count(DROPPED, "torn")) == (6, 3, 3)
    assert sink.totals == {"answered": 6, "inherited": 0, "logged": 0, "dropped": 0}
    assert successor.totals == {"answered": 0, "inherited": 6, "logged": 3, "dropped": 3}


async def test_two_processes_of_one_folder_leave_each_other_alone(root: Path) -> None:
    broker = Broker()
    first = a_sink(broker, Spool(root, **MEMORY))
    first.put(record(1, "beside"))
    await step(first)
    second = Spool(root, **MEMORY)
    assert (len(second), second.inherited.total()) == (0, 0)
    second.close()
    broker.mood = "send"
    await first.close()
    assert broker.ids == ["1"]


async def test_a_disk_that_takes_nothing_costs_the_spool_and_not_the_records(root: Path) -> None:
    broker = Broker()
    sink = a_sink(broker, Spool(root, **MEMORY))
    home = sink._spool.home
    assert home is not None
    home.folder.rename(root / ".gone")  # root may write where nobody may, so that taking rights away proves nothing
    sink.put(record(1, "no-disk"))
    await step(sink)
    assert [place.file for place in sink._spool.in_memory()] == [None]
    broker.mood = "send"
    await sink.close()
    assert (broker.ids, count(LOGGED, "no-disk")) == (["1"], 1)


def test_a_root_that_can_not_be_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidField, match="PREDICTION_LOG__FOLDER"):
        Spool(tmp_path / "file", **MEMORY)


@pytest.mark.parametrize(("how_many", "features"), [(10_000, 20), (3_000, 500), (9, 10_000)])
async def test_what_is_large_is_divided_and_no_message_is_larger_than_its_topic_takes(
    how_many: int, features: int
) -> None:
    model, sizes, ids = f"large-{features}", [], []

    async def send(message: WireMessage) -> None:
        sizes.append(len(message.value or b""))
        ids.extend(decode_batch(message.value)["prediction_id"].to_pylist())

    sink = PredictionSink(send, Spool(None, max_bytes=0, memory_bytes=10**9), source="s", instance="i")
    sink.put_answered(rows(0, how_many, model, features))
    await sink.close(within_s=60)
    assert ids == [str(i) for i in range(how_many)]
    assert max(sizes) < MAX_BYTES and count(LOGGED, model) == how_many


async def test_off_logs_nothing_and_says_so() -> None:
    broker = Broker()
    broker.mood = "send"
    sink = PredictionSink(broker.send, Spool(None, **MEMORY), source="s", instance="i", off=True)
    sink.put(record(1, "off"))
    await sink.close()
    assert (count(ANSWERED, "off"), count(DROPPED, "off"), broker.ids) == (1, 1, [])


@pytest.mark.parametrize("after", [1, 900, 2000])
async def test_a_process_killed_at_any_moment_is_accounted_for_to_the_record(root: Path, after: int) -> None:
    """A real process puts records as fast as it can, says so before each, and is killed; the next one finds all."""
    model = f"killed-{after}"
    said = _answered_until_killed(root, model, after)
    broker = Broker()
    broker.mood = "send"
    sink = a_sink(broker, Spool(root, **MEMORY))
    found = count(INHERITED, model)
    assert said - 1 <= found <= said
    await sink.close()
    assert found == count(LOGGED, model) + count(DROPPED, model)
    assert len(set(broker.ids)) == len(broker.ids) == count(LOGGED, model)


def _answered_until_killed(root: Path, model: str, after: int) -> int:
    command = [sys.executable, str(HERE / "sink_child.py"), str(root), model]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        said = 0
        while said < after:
            said += len(os.read(child.stderr.fileno(), 100))
        child.send_signal(signal.SIGKILL)
        return said + len(child.stderr.read())
