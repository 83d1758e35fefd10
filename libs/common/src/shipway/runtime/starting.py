"""What a service waits for when it starts: a broker with its topics, an object store."""

import asyncio

from shipway.contract.errors import Transient
from shipway.runtime.lifecycle import Life
from shipway.runtime.objects import ObjectStore
from shipway.runtime.provision import missing_topics, provision
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.waiting import until_reachable


async def provisioned(life: Life, kafka: KafkaSettings) -> None:
    """Waits until the broker answers and has the topics of the table: made here or, by the settings, by others."""
    report = lambda reason: life.readiness.report("kafka", reason)  # noqa: E731

    async def there() -> None:
        if missing := await missing_topics(kafka):
            raise Transient("; ".join(missing))

    if kafka.provision:
        await until_reachable("Kafka", lambda: provision(kafka), report)
    else:
        await until_reachable("the topics that somebody else makes", there, report)


async def reachable_store(life: Life, store: ObjectStore) -> None:
    """Waits until the object store can be used."""

    async def probe() -> None:
        await asyncio.to_thread(store.probe)

    await until_reachable("the object store", probe, lambda reason: life.readiness.report("objects", reason))
