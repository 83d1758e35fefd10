"""What a service waits for when it starts: a broker with its topics, an object store."""

import asyncio

from shipway.runtime.lifecycle import Life
from shipway.runtime.objects import ObjectStore
from shipway.runtime.provision import provision
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.waiting import until_reachable


async def provisioned(life: Life, kafka: KafkaSettings) -> None:
    """Waits until the broker answers and has the topics of the table."""
    if kafka.provision:
        await until_reachable("Kafka", lambda: provision(kafka), lambda reason: life.readiness.report("kafka", reason))


async def reachable_store(life: Life, store: ObjectStore) -> None:
    """Waits until the object store can be used."""

    async def probe() -> None:
        await asyncio.to_thread(store.probe)

    await until_reachable("the object store", probe, lambda reason: life.readiness.report("objects", reason))
