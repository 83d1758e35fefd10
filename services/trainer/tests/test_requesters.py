"""Training requests that others write are accepted like ours: by the CloudEvents SDK, and by examples/triggers."""

import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from bus import Broker, ends_within
from cloudevents.core.bindings.kafka import to_binary_event
from cloudevents.core.v1.event import CloudEvent
from cronsim import CronSim

from shipway.contract.events import ModelDeclared, TrainingAccepted
from shipway.contract.topics import TRAINING_REQUESTS
from shipway.runtime import delivery
from shipway.runtime.consumer import Consumer
from shipway.runtime.database import Database
from shipway.runtime.kafka import Producer
from shipway.runtime.provision import provision
from shipway.runtime.relay import Relay
from shipway.trainer import handlers
from shipway.trainer.tables import jobs

TRIGGERS = Path(__file__).parents[3] / "examples" / "triggers"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MODEL = "flights"


class Listening:
    """The half of a trainer that takes requests, on a broker of its own."""

    def __init__(self, database: Database, producer: Producer, bootstrap: str) -> None:
        self.producer = producer
        self.bootstrap = bootstrap
        self._database = database

    async def job(self, request_id: str) -> Any:
        """The request's job, once it is there."""
        async with ends_within(30, f"the job of {request_id}"):
            while True:
                async with self._database.begin() as tx:
                    found = (await tx.execute(sa.select(jobs).where(jobs.c.request_id == request_id))).one_or_none()
                if found is not None:
                    return found
                await asyncio.sleep(0.02)

    async def answers(self) -> list[dict[str, str]]:
        """The headers of what it answered."""
        async with self._database.begin() as tx:
            rows = (await tx.execute(sa.select(delivery.outbox.c.headers))).scalars()
        return [{name: value.decode() for name, value in msgspec.msgpack.decode(row)} for row in rows]

    async def run(self, *command: str) -> str:
        """What an example says, told where Kafka is; it must end well."""
        at = {
            "SHIPWAY__KAFKA__BOOTSTRAP": self.bootstrap,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | at, cwd=TRIGGERS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with ends_within(60, shlex.join(command)):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode().strip()


@pytest.fixture
async def trainer(
    database: Database, tmp_path: Path, raw_spec: Callable[..., Any], envelope: Callable[..., Any]
) -> AsyncIterator[Listening]:
    broker = Broker(tmp_path / "broker")
    await broker.start()
    await provision(broker.settings)
    async with database.begin() as tx:
        told = ModelDeclared(model=MODEL, spec=raw_spec(name=MODEL), declared_by="ann")
        await handlers.on_model_declared(tx, told, envelope(told))
    producer, bugs = Producer(broker.settings, "test"), list[BaseException]()
    await producer.start()
    relay = Relay(database, producer, broker.settings)
    consumer = Consumer("trainer", broker.settings, database, relay, handlers.HANDLERS, on_bug=bugs.append)
    await consumer.start()
    relaying = asyncio.create_task(relay.run())
    yield Listening(database, producer, broker.settings.bootstrap)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await consumer.stop()
    await producer.stop()
    broker.kill_and_wipe()
    assert not bugs


async def test_a_request_made_by_the_cloudevents_sdk_is_accepted(trainer: Listening) -> None:
    theirs = CloudEvent(
        attributes={
            "type": "shipway.TrainingRequested.v1",
            "source": "com.example/nightly",
            "datacontenttype": "application/json",
        },
        data={"model": MODEL, "request_id": "nightly-1", "reason": "new data", "theirs": 1},
    )
    message = to_binary_event(theirs)
    headers = [*message.headers.items(), ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
    await trainer.producer.send(TRAINING_REQUESTS.name, MODEL.encode(), message.value, headers)
    job = await trainer.job("nightly-1")
    assert (job.model, job.state) == (MODEL, "queued")
    (answer,) = await trainer.answers()
    assert answer["ce_type"] == TrainingAccepted.type
    assert TRACE in answer["traceparent"], "the answer is in the trace of the request"


async def test_the_example_in_python_asks_once_under_an_id(trainer: Listening) -> None:
    for request_id in ("first", "first", "second"):
        assert await trainer.run(sys.executable, "request_training.py", MODEL, request_id) == request_id
    await trainer.job("second")
    assert (await trainer.job("first")).model == MODEL
    assert len(await trainer.answers()) == 2
    made = await trainer.run(sys.executable, "request_training.py", MODEL)
    assert await trainer.job(made)


async def test_the_example_for_a_shell_asks(trainer: Listening) -> None:
    if shutil.which("kcat") is None:
        missing = "kcat is not installed; it is Debian's package of that name"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    assert await trainer.run("./request_training.sh", MODEL, "by-kcat") == "by-kcat"
    assert (await trainer.job("by-kcat")).model == MODEL
    assert await trainer.job(await trainer.run("./request_training.sh", MODEL))


async def test_the_example_for_cron_asks_and_is_answered(trainer: Listening) -> None:
    (line,) = [line for line in (TRIGGERS / "crontab").read_text().splitlines() if line[:1].isdigit()]
    *when, command = line.split(maxsplit=5)
    assert next(CronSim(" ".join(when), datetime.now(UTC)))
    said = await trainer.run("sh", "-c", f"{command} --json")
    job = await trainer.job(msgspec.json.decode(said)["request_id"])
    assert job.model == MODEL


def test_the_example_for_airflow_compiles() -> None:
    source = (TRIGGERS / "airflow_dag.py").read_text()
    assert compile(source, "airflow_dag.py", "exec").co_names


async def test_the_example_for_airflow_asks_once_a_run(trainer: Listening) -> None:
    """In Airflow's own environment (`make airflow`), whose requirements are not ours."""
    python = TRIGGERS.parents[1] / ".airflow" / "bin" / "python"
    if not python.exists():
        pytest.skip("Airflow is not installed; `make airflow` does it")
    code = "import airflow_dag; ask = airflow_dag.train_flights().get_task('ask'); "
    code += "print([ask.python_callable(run_id='manual__1') for _ in range(ask.retries)][-1])"
    said = await trainer.run(str(python), "-c", code)
    assert said.splitlines()[-1] == "airflow-manual__1"
    assert (await trainer.job("airflow-manual__1")).model == MODEL
    assert len(await trainer.answers()) == 1
