"""Creates the topics of the table, and grows those that have too few partitions. Safe to call at any time."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shipway.contract.errors import Transient
from shipway.contract.events import MAX_BYTES
from shipway.contract.topics import TOPICS, Topic
from shipway.runtime import log
from shipway.runtime.kafka import HEADERS_BYTES, client_arguments, probe, stop_bounded
from shipway.runtime.settings import KafkaSettings

_log = log.get(__name__)


def configs_of(topic: Topic) -> dict[str, str]:
    """The broker's settings for a topic of the table."""
    configs = {}
    if topic.max_message_bytes > MAX_BYTES:  # brokers take that much without being told
        configs["max.message.bytes"] = str(topic.max_message_bytes + HEADERS_BYTES)
    if topic.retention_h is None:
        compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        return configs | compacted | {"segment.ms": "600000", "max.compaction.lag.ms": "600000"}
    retention_ms = topic.retention_h * 3_600_000
    return configs | {"retention.ms": str(retention_ms), "segment.ms": str(min(retention_ms, 3_600_000))}


async def provision(settings: KafkaSettings, topics: tuple[Topic, ...] = TOPICS) -> list[str]:
    """Brings the broker's topics up to the table; gives the names of those it created or grew.

    Raises:
        Transient: the broker does not answer, or does not do it now.
    """
    await probe(settings)
    admin = AIOKafkaAdminClient(**client_arguments(settings))
    try:
        return await asyncio.wait_for(_provision(admin, settings, topics), 30)
    except (KafkaError, OSError, TimeoutError) as err:
        raise Transient(f"topics could not be provisioned: {err or type(err).__name__}") from err
    finally:
        await stop_bounded(admin.close(), 2)


async def missing_topics(settings: KafkaSettings, topics: tuple[Topic, ...] = TOPICS) -> list[str]:
    """What the broker lacks of the table, in words; changes nothing.

    Raises:
        Transient: the broker does not answer.
    """
    await probe(settings)
    admin = AIOKafkaAdminClient(**client_arguments(settings))
    try:
        async with asyncio.timeout(30):
            await admin.start()
            there = set(await admin.list_topics())
            known = [t for t in topics if t.name in there]
            described = {d["topic"]: d for d in await admin.describe_topics([t.name for t in known])} if known else {}
    except (KafkaError, OSError, TimeoutError) as err:
        raise Transient(f"topics could not be looked at: {err or type(err).__name__}") from err
    finally:
        await stop_bounded(admin.close(), 2)
    found = [f"topic {t.name} is missing ({t.partitions} partitions)" for t in topics if t.name not in there]
    for topic in known:
        has = len(described[topic.name]["partitions"])
        if has < topic.partitions:
            found.append(f"topic {topic.name} has {has} partitions; {topic.partitions} are needed")
    return found


async def _provision(admin: AIOKafkaAdminClient, settings: KafkaSettings, topics: tuple[Topic, ...]) -> list[str]:
    await admin.start()
    there = set(await admin.list_topics())
    changed = []
    missing = [t for t in topics if t.name not in there]
    if missing:
        response = await admin.create_topics(
            [NewTopic(t.name, t.partitions, settings.replication_factor, topic_configs=configs_of(t)) for t in missing]
        )
        for name, code, *_ in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"creating {name}")
            changed.append(name)
    present = {t.name: t.partitions for t in topics if t.name in there}
    for described in await admin.describe_topics(list(present)) if present else []:
        name, wanted = described["topic"], present.get(described["topic"], 0)
        if 0 < len(described["partitions"]) < wanted:
            await admin.create_partitions({name: NewPartitions(wanted)})
            changed.append(name)
    if changed:
        _log.info("topics provisioned", topics=changed)
    return changed
