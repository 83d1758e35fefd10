"""The declared topology is what the running services do: groups, producers, types on topics."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from world import World, eventually, features_of, make_rows

from shipway.contract import topics
from shipway.contract.envelope import decode, text_headers
from shipway.contract.errors import Permanent
from shipway.contract.topics import SERVICES, SHARED_TOPICS, TOPICS
from shipway.runtime.kafka import client_arguments

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_every_service_consumes_what_the_table_says(shipway_world: World) -> None:
    admin = AIOKafkaAdminClient(**client_arguments(shipway_world.kafka))
    await admin.start()
    try:
        for service in SERVICES:
            wanted = {t.name for t in topics.consumed_by(service)}

            async def subscribed(service: str = service, wanted: set[str] = wanted) -> bool:
                places = await admin.list_consumer_group_offsets(f"shipway.{service}")
                return {place.topic for place in places} <= wanted

            assert await subscribed(), f"{service} reads what the table does not say"
    finally:
        await admin.close()


async def test_only_the_declared_write_and_only_declared_types(shipway_world: World, served: str) -> None:
    """Every message of a whole loop, dead letters aside, was written by a producer of its topic."""
    await shipway_world.shipway.predict(served, [features_of(make_rows("binary", 1)[0])])

    async def logged() -> bool:
        return bool((await shipway_world.shipway.usage(served))["versions"].get("1", {}).get("answered"))

    await eventually(logged, "the prediction is in the log")
    by_name = {t.name: t for t in TOPICS}
    wrote: set[tuple[str, str]] = set()
    for record in shipway_world.recorder.records:
        topic = by_name[record.topic]
        source = text_headers(record.headers).get("ce_source", "")
        if source.startswith("shipway/"):
            writer = source.removeprefix("shipway/").split("/")[0]
            wrote.add((writer, topic.name))
            assert writer in topic.producers, f"{writer} wrote to {topic.name}"
        if topic.types and record.value is not None:
            try:
                event = decode(record.value, list(record.headers))
            except Permanent:
                continue  # other tests send garbage on purpose
            assert isinstance(event.payload, topic.types), f"{event.payload.type} on {topic.name}"
    always = {(p, t.name) for t in SHARED_TOPICS for p in t.producers}
    rare = {"shipway.retirement-events", "shipway.operator-commands", "shipway.feedback", "shipway.results"}
    rare |= {"shipway.monitoring-events", "shipway.features"}
    again = {("trainer", "shipway.model-declarations"), ("trainer", "shipway.training-requests")}
    again |= {("gateway", "shipway.prediction-log")}
    again |= {("releaser", "shipway.training-requests"), ("monitor", "shipway.training-requests")}
    missing = {(p, t) for p, t in always - wrote - again if t not in rare}
    assert not missing, f"declared, but never written: {missing}"
