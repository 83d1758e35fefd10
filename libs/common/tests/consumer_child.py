"""A small service as a process that tests may kill: notes each event that it handles, and tells of it by another.

Its arguments are the broker's address and the database's URL.
"""

import asyncio
import sys

import sqlalchemy as sa
from pydantic import SecretStr

from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.contract.errors import Permanent
from shipway.runtime.consumer import Consumer
from shipway.runtime.database import Database, Transaction
from shipway.runtime.delivery import emit
from shipway.runtime.kafka import Producer
from shipway.runtime.relay import Relay
from shipway.runtime.settings import DatabaseSettings, KafkaSettings

REFUSED = "refused"


async def handle(tx: Transaction, payload: e.TrainingProgressed, _event: Envelope) -> None:
    if payload.stage == REFUSED:
        raise Permanent("refused by rule")
    await tx.execute(sa.text("insert into effects (request_id) values (:id)"), {"id": payload.request_id})
    told = e.ReleaseSuperseded(model="m", version=1, release_id=payload.request_id, by_version=2)
    await emit(tx, "shipway/evaluator", told)


async def main(bootstrap: str, database_url: str) -> None:
    kafka = KafkaSettings(bootstrap=bootstrap, idle_fetch_pause_ms=10, beat_s=0.5, group_instance="child")
    database = Database(DatabaseSettings(url=SecretStr(database_url)), "evaluator")
    producer = Producer(kafka, "child")
    await producer.start()
    relay = Relay(database, producer, kafka)
    ended = asyncio.get_running_loop().create_future()
    consumer = Consumer("evaluator", kafka, database, relay, {e.TrainingProgressed: handle}, on_bug=ended.set_exception)
    await consumer.start()
    await asyncio.gather(relay.run(), ended)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
