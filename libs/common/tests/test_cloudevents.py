"""Consumers of other makers read what the producer puts on the wire: here the CloudEvents SDK."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from bus import ends_within
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from shipway.contract import events as e
from shipway.contract.envelope import decode
from shipway.contract.topics import TOPICS
from shipway.runtime import trace
from shipway.runtime.kafka import Producer, client_arguments

GOLDEN = {f.stem: json.loads(f.read_text()) for f in sorted((Path(__file__).parent / "golden").glob("*.json"))}


async def test_every_event_that_the_producer_sends_is_a_cloudevent_to_the_sdk(kafka: Any) -> None:
    producer = Producer(kafka.settings, "test")
    await producer.start()
    sent = {}
    with trace.within(None):
        for name, raw in GOLDEN.items():
            headers = [(key, value.encode()) for key, value in raw["headers"].items()]
            payload = decode(json.dumps(raw["value"]).encode(), headers).payload
            sent[name] = await producer.publish(f"shipway/test/{name}", payload)
    await producer.stop()
    consumer = AIOKafkaConsumer(
        *(topic.name for topic in TOPICS), **client_arguments(kafka.settings), auto_offset_reset="earliest"
    )
    await consumer.start()
    found: dict[str, ConsumerRecord] = {}
    async with ends_within(30, f"{len(sent)} messages", list(found)):
        while len(found) < len(sent):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found |= {dict(record.headers)["ce_type"].decode(): record for record in records}
    await consumer.stop()
    assert set(found) == set(GOLDEN)
    for name, record in found.items():
        assert len(dict(record.headers)) == len(record.headers), "a header comes once"
        read = from_binary_event(KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value))
        ours = sent[name]
        assert (read.get_id(), read.get_source(), read.get_type()) == (ours.id, ours.source, name)
        assert (read.get_specversion(), read.get_datacontenttype()) == ("1.0", "application/json")
        assert read.get_time() == ours.time
        assert read.get_data() == GOLDEN[name]["value"]
        assert (record.key.decode() if record.key else None) == GOLDEN[name]["key"]
        assert dict(record.headers)["traceparent"].decode() == ours.traceparent


async def test_the_example_of_reading_events_prints_who_serves(kafka: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "integrations.md").read_text()
    (code,) = re.findall(r"```python test=read\n(.*?)```", page, re.DOTALL)
    producer = Producer(kafka.settings, "test")
    await producer.start()
    promoted: dict[str, Any] = {"digest": "d", "generation": 1, "previous_version": None, "reason": "r"}
    await producer.publish("test", e.ReleaseSuperseded(model="m", version=6, release_id="m-6", by_version=7))
    await producer.publish("test", e.ReleasePromoted(model="m", version=7, release_id="m-7", **promoted))
    await producer.stop()
    reading = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", f"KAFKA = {kafka.settings.bootstrap!r}\n{code}"), stdout=asyncio.subprocess.PIPE
    )
    assert reading.stdout is not None
    async with ends_within(60, "the example prints"):
        said = await reading.stdout.readline()
    reading.kill()
    await reading.wait()
    assert said == b"m 7\n"
