"""Lets the embedded broker forget what its only reader has read of the topics that grow with every request.

This broker holds all it keeps in memory, and at each change writes all of it to its folder: with 100 MB of prediction
log that is two thirds of a core, for one heartbeat of a predictor. A bound in bytes would lose what is not yet read.
"""

import asyncio
from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from shipway.contract.topics import FEEDBACK, PREDICTION_LOG
from shipway.runtime import log
from shipway.runtime.kafka import client_arguments, stop_bounded
from shipway.runtime.settings import KafkaSettings

READER = "shipway.monitor"
TOPICS = (PREDICTION_LOG.name, FEEDBACK.name)
# Of each partition the last messages stay, for a person who asks for them.
KEPT_MESSAGES = 10
EVERY_S = 5.0
_log = log.get(__name__)

Offsets = Mapping[TopicPartition, int]


def forgotten(committed: Offsets, earlier: Offsets, before: Offsets) -> dict[TopicPartition, int]:
    """Up to where each partition may be forgotten now, of those with something to forget.

    What was read since the look before stays: others may follow the same topic, a little behind.

    Args:
        committed: the reader's offsets, of all that it reads.
        earlier: those of the look before.
        before: up to where each partition is forgotten already.
    """
    found = {}
    for partition, offset in committed.items():
        until = min(offset, earlier.get(partition, 0)) - KEPT_MESSAGES
        # Not only what is further on: a broker whose data was wiped counts from the start again.
        if partition.topic in TOPICS and until > 0 and until != before.get(partition):
            found[partition] = until
    return found


async def trim(settings: KafkaSettings, every_s: float = EVERY_S) -> None:
    """Looks again and again, until it is cancelled; a broker that is away is looked for again."""
    while True:
        admin = AIOKafkaAdminClient(**client_arguments(settings))
        try:
            await admin.start()
            await _follow(admin, every_s)
        except (KafkaError, OSError, TimeoutError) as err:
            _log.debug("what was read stays on the broker for now", reason=str(err) or type(err).__name__)
            await asyncio.sleep(every_s)
        finally:
            await stop_bounded(admin.close(), 2)


async def _follow(admin: AIOKafkaAdminClient, every_s: float) -> None:
    earlier: Offsets = {}
    before: dict[TopicPartition, int] = {}
    while True:
        committed = await _committed(admin)
        if until := forgotten(committed, earlier, before):
            before |= await admin.delete_records({at: RecordsToDelete(offset) for at, offset in until.items()})
        earlier = committed
        await asyncio.sleep(every_s)


async def _committed(admin: AIOKafkaAdminClient) -> Offsets:
    found = await admin.list_consumer_group_offsets(READER)
    return {partition: committed.offset for partition, committed in found.items()}
