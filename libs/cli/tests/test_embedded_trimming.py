"""What the embedded broker forgets: only what its reader has read for a while."""

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shipway.embedded import trimming
from shipway.embedded.stack import prepare
from shipway.embedded.supervisor import Supervisor
from shipway.embedded.trimming import KEPT_MESSAGES, READER, TOPICS, forgotten

LOG = TopicPartition(TOPICS[0], 0)


def test_what_was_read_at_the_look_before_is_forgotten_but_for_the_last() -> None:
    assert forgotten({LOG: 500}, {LOG: 300}, {}) == {LOG: 300 - KEPT_MESSAGES}


def test_nothing_is_forgotten_twice_nor_at_the_first_look_nor_of_another_topic() -> None:
    assert forgotten({LOG: 500}, {LOG: 300}, {LOG: 300 - KEPT_MESSAGES}) == {}
    assert forgotten({LOG: 500}, {}, {}) == {}
    assert forgotten({LOG: KEPT_MESSAGES}, {LOG: KEPT_MESSAGES}, {}) == {}
    other = TopicPartition("shipway.release-events", 0)
    assert forgotten({other: 500}, {other: 500}, {}) == {}


def test_a_reader_that_went_back_finds_what_it_reads_again() -> None:
    assert forgotten({LOG: 50}, {LOG: 300}, {}) == {LOG: 50 - KEPT_MESSAGES}


def test_a_broker_that_was_wiped_forgets_from_the_start_again() -> None:
    assert forgotten({LOG: 60}, {LOG: 50}, {LOG: 9000}) == {LOG: 50 - KEPT_MESSAGES}


async def test_the_real_broker_forgets_what_was_read_and_keeps_what_was_not(tmp_path: Path) -> None:
    plan = prepare(tmp_path / "data", services=(), usual_ports={}, durable=False)
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready(["broker"], timeout_s=30)
        producer = AIOKafkaProducer(bootstrap_servers=plan.kafka)
        await producer.start()
        for number in range(40):
            await producer.send_and_wait(LOG.topic, b"%d" % number, partition=0)
        await producer.stop()
        reader = AIOKafkaConsumer(bootstrap_servers=plan.kafka, group_id=READER, enable_auto_commit=False)
        reader.assign([LOG])
        await reader.start()
        trim = asyncio.create_task(trimming.trim(plan.kafka_settings, every_s=0.05))
        try:
            await reader.commit({LOG: 30})
            async with asyncio.timeout(20):
                while (await reader.beginning_offsets([LOG]))[LOG] < 30 - KEPT_MESSAGES:
                    await asyncio.sleep(0.05)
            assert (await reader.beginning_offsets([LOG]))[LOG] == 30 - KEPT_MESSAGES
            await reader.seek_to_committed(LOG)
            unread = [(await reader.getone()).value for _ in range(10)]
            assert unread == [b"%d" % number for number in range(30, 40)]
            supervisor.kill("broker")
            async with asyncio.timeout(30):
                while not supervisor.restarts("broker") or supervisor.states()["broker"] != "ready":
                    await asyncio.sleep(0.05)
            assert not trim.done()
        finally:
            trim.cancel()
            await reader.stop()
