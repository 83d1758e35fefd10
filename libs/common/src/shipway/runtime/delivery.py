"""The tables behind "at least once on the wire, once in effect": inbox, outbox, crashes; the same in every schema.

The inbox row of an event and its effect commit in one transaction, and so do a state change and the events
that tell of it. Consumer offsets are committed after that.
"""

import uuid
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import ARRAY, insert

from shipway.contract.envelope import Envelope, WireMessage, encode
from shipway.contract.events import Payload
from shipway.contract.topics import topic_of
from shipway.runtime import trace
from shipway.runtime.database import Transaction
from shipway.runtime.failpoints import reached

metadata = sa.MetaData()
_WRITTEN = "outbox written"

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False, index=True),
)

crashes = sa.Table(
    "crashes",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("times", sa.Integer, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("value", sa.LargeBinary),
    sa.Column("headers", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.Column("published_at", sa.DateTime(timezone=True)),
    sa.Column("partition", sa.Integer),
    sa.Column("broker_offset", sa.BigInteger),
    sa.Index("outbox_waiting", "seq", postgresql_where=sa.text("published_at is null")),
    sa.Index("outbox_placed", "topic", "partition", "broker_offset"),
)

# Made once, as SQLAlchemy knows again what it has compiled by the statement's parts, which it takes long to go through.
_INTO_INBOX = (
    insert(inbox).values(source=sa.bindparam("source"), event_id=sa.bindparam("event_id")).on_conflict_do_nothing()
)
_INTO_OUTBOX = sa.insert(outbox).inline()


def create_tables_v1() -> None:
    """For a service's first migration: the delivery tables as they were first."""
    from alembic import op  # half a second of imports that only a migration needs

    for table in (inbox, crashes, outbox):
        columns = [column._copy() for column in table.columns]
        op.create_table(table.name, *columns)
    op.create_index("outbox_waiting", "outbox", ["seq"], postgresql_where=sa.text("published_at is null"))
    op.create_index("outbox_placed", "outbox", ["topic", "partition", "broker_offset"])


def drop_tables_v1() -> None:
    """The inverse of create_tables_v1."""
    from alembic import op

    for table in (outbox, crashes, inbox):
        op.drop_table(table.name)


async def first_time(tx: Transaction, source: str, event_id: str) -> bool:
    """Records the event in the inbox; False where it is there already, so that its effect has happened."""
    return (await tx.execute(_INTO_INBOX, {"source": source, "event_id": event_id})).rowcount == 1


async def first_times(tx: Transaction, events: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Records events, by source and id, in the inbox; gives those that were not there."""
    ordered = sorted(set(events))  # in one order for all, so that no two processes wait for each other
    named = {"sources": [source for source, _ in ordered], "event_ids": [event_id for _, event_id in ordered]}
    return {(row.source, row.event_id) for row in (await tx.execute(_ALL_INTO_INBOX, named)).all()}


def _all_into_inbox() -> Executable:
    """Of two arrays, so that it is one statement for however many there are."""
    columns = [sa.func.unnest(sa.bindparam(name, type_=ARRAY(sa.Text))) for name in ("sources", "event_ids")]
    statement = insert(inbox).from_select(["source", "event_id"], sa.select(*columns))
    return statement.on_conflict_do_nothing().returning(inbox.c.source, inbox.c.event_id)


_ALL_INTO_INBOX = _all_into_inbox()


async def count_crash(tx: Transaction, source: str, event_id: str) -> int:
    """Counts that handling the event ended in a bug; gives how often by now."""
    statement = (
        insert(crashes)
        .values(source=source, event_id=event_id, times=1)
        .on_conflict_do_update(index_elements=["source", "event_id"], set_={"times": crashes.c.times + 1})
        .returning(crashes.c.times)
    )
    return int((await tx.execute(statement)).scalar_one())


@dataclass(frozen=True)
class Outgoing:
    """A message that is to be published: to which topic, and the id of its event."""

    topic: str
    event_id: str
    message: WireMessage


def outgoing(source: str, payload: Payload, *, event_id: str | None = None) -> Outgoing:
    """An event as it is to be published now. It is a span of the current trace, so that one trace runs from the request
    to the retirement."""
    event = Envelope(
        id=event_id or uuid.uuid4().hex,
        source=source,
        time=datetime.now(UTC),
        payload=payload,
        traceparent=trace.sent(type(payload).__name__),
    )
    return Outgoing(topic_of(payload).name, event.id, encode(event))


async def emit(tx: Transaction, source: str, payload: Payload, *, event_id: str | None = None) -> str:
    """Puts an event into the outbox, to be published once ``tx`` has committed; gives its id."""
    event = outgoing(source, payload, event_id=event_id)
    await put(tx, [event])
    return event.event_id


async def put(tx: Transaction, messages: Sequence[Outgoing]) -> None:
    """Puts ready-made messages into the outbox, in this order, by one statement."""
    if not messages:
        return
    rows = [
        {
            "event_id": event.event_id,
            "topic": event.topic,
            "key": event.message.key,
            "value": event.message.value,
            "headers": msgspec.msgpack.encode(event.message.headers),
        }
        for event in messages
    ]
    await tx.execute(_INTO_OUTBOX, rows)
    tx.info[_WRITTEN] = weakref.ref(tx)
    reached("outbox written")


def outbox_written(tx: Transaction) -> bool:
    """Whether ``tx`` has put anything into the outbox, so that a relay has work; asked before the end of ``tx``."""
    written_by = tx.info.get(_WRITTEN)  # the pooled connection's, so it may be of an earlier transaction
    return written_by is not None and written_by() is tx
