"""The real PostgreSQL and the real broker under the supervisor: start, use, restart, wipe, crash, no leftovers."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shipway.contract.errors import Permanent
from shipway.embedded import postgres
from shipway.embedded.stack import StackPlan, prepare
from shipway.embedded.state import born, end_leftovers, last_state
from shipway.embedded.supervisor import Supervisor


async def ask(plan: StackPlan, *statements: str) -> object:
    connection = await asyncpg.connect(plan.database_url, timeout=5)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def tell(plan: StackPlan, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=plan.kafka, acks="all")
    await producer.start()
    await producer.send_and_wait("kept", value)
    await producer.stop()


async def told(plan: StackPlan) -> list[bytes | None]:
    """What the topic holds; it is created when it is not there."""
    consumer = AIOKafkaConsumer("kept", bootstrap_servers=plan.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        batches = await consumer.getmany(timeout_ms=1000)
        return [message.value for batch in batches.values() for message in batch]
    finally:
        await consumer.stop()


async def test_data_outlives_a_stop_a_crash_and_only_a_wipe_takes_the_brokers(tmp_path: Path) -> None:
    plan = prepare(tmp_path / "data", services=(), usual_ports={})
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready(timeout_s=30)
        assert await ask(plan, "create table kept (x int)", "insert into kept values (7)", "show fsync") == "on"
        await tell(plan, b"one")
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready(timeout_s=30)
        assert await ask(plan, "select x from kept") == 7
        assert await ask(plan, "select rolsuper from pg_roles where rolname = current_user") is False
        assert await told(plan) == [b"one"]
        for name in ("postgres", "broker"):
            supervisor.kill(name, signal.SIGKILL)
        async with asyncio.timeout(10):
            while not all(supervisor.restarts(name) for name in ("postgres", "broker")):
                await asyncio.sleep(0.02)
        await supervisor.wait_ready(timeout_s=30)
        assert await ask(plan, "select x from kept") == 7
        assert await told(plan) == [b"one"]
        await supervisor.restart("broker", wipe=True)
        await supervisor.wait_ready(timeout_s=30)
        assert await told(plan) == []
        assert await ask(plan, "select x from kept") == 7
        wrong = postgres.url(plan.process("postgres").port or 0, "wrong")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(wrong)


async def test_a_cluster_that_can_not_be_made_is_told_and_leaves_no_half(tmp_path: Path) -> None:
    half = tmp_path / "cluster.new"
    half.mkdir()
    (half / "left by a killed initdb").touch()
    user = await postgres.initialise(tmp_path / "cluster", "secret", tmp_path / "log", durable=False)
    assert (tmp_path / "cluster" / "PG_VERSION").exists()
    assert not half.exists()
    assert not (tmp_path / "cluster.secret").exists()
    if user is not None:
        assert (tmp_path / "cluster").owner() == user
    with pytest.raises(Permanent, match=r"(?s)initdb ended with 1; see .*log:.*password file .* is empty"):
        await postgres.initialise(tmp_path / "other", "", tmp_path / "log", durable=False)
    assert not (tmp_path / "other").exists()


PARENT = dedent("""
    import asyncio, pathlib, sys
    from shipway.embedded.stack import prepare
    from shipway.embedded.supervisor import Supervisor
    from shipway.runtime import log
    from shipway.runtime.settings import LogSettings
    async def main():
        log.configure(LogSettings(), "supervisor")
        plan = prepare(pathlib.Path(sys.argv[1]), services=(), usual_ports={}, durable=False)
        async with Supervisor(plan) as supervisor:
            await supervisor.wait_ready(timeout_s=30)
            print("ready", flush=True)
            await asyncio.Event().wait()
    asyncio.run(main())
""")


async def test_a_killed_supervisor_leaves_no_server(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(tmp_path), stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert await parent.stdout.readline() == b"ready\n"
        servers = psutil.Process(parent.pid).children(recursive=True)
        assert {"postgres", "noida-db"} <= {s.name() for s in servers}
        assert len(servers) > 4, "PostgreSQL's own children are not seen"
    finally:
        parent.kill()
        await parent.wait()
    if sys.platform != "linux":  # there the next start does it
        await asyncio.to_thread(end_leftovers, tmp_path)
    async with asyncio.timeout(10):
        while any(born(server.pid) for server in servers):
            await asyncio.sleep(0.02)
    state = last_state(tmp_path)
    assert state is not None
    # A clean shutdown: the next start has nothing to recover.
    log = (tmp_path / "logs" / "postgres.log").read_text()
    assert "database system is shut down" in log
