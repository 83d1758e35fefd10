"""Dead letters in PostgreSQL, as long as the broker keeps them: listed, counted, and sent again."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from shipway.contract.envelope import Envelope, WireMessage, text_headers
from shipway.contract.errors import InvalidField
from shipway.contract.events import DeadLettered
from shipway.contract.topics import DEAD_LETTERS, SHARED_TOPICS
from shipway.monitor.tables import dead_letters as letters
from shipway.runtime.database import Transaction
from shipway.runtime.deadletters import MAX_KEPT_BYTES
from shipway.runtime.delivery import Outgoing, put

KEEP = timedelta(hours=next(iter(DEAD_LETTERS.values())).retention_h or 168)
MOST = 2000
SHOWN = 100
_SUMMARY = [c for c in letters.columns if c.name not in ("key", "value", "headers")]


async def on_dead_letter(tx: Transaction, payload: DeadLettered, event: Envelope) -> None:
    """What a service refused; the oldest go where there are too many."""
    values = {
        "service": payload.service[:100],
        "topic": payload.topic[:200],
        "partition": payload.partition,
        "broker_offset": payload.offset,
        "type": _text(text_headers(payload.headers).get("ce_type", "unknown")[:200]),
        "reason": _text(payload.reason),
        "error": _text(payload.error),
        "at": event.time,
        "key": payload.key,
        "value": payload.value,
        "headers": msgspec.msgpack.encode(payload.headers),
    }
    await tx.execute(sa.insert(letters).values(**values))
    kept = sa.select(letters.c.id).order_by(letters.c.id.desc()).offset(MOST).limit(1).scalar_subquery()
    await tx.execute(sa.delete(letters).where(letters.c.id <= kept))


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes those that the broker does not have any more either."""
    await tx.execute(sa.delete(letters).where(letters.c.at < at))


async def listed(tx: Transaction, service: str | None, before: int | None) -> list[dict[str, Any]]:
    """Dead letters without what is in them, the newest first."""
    statement = sa.select(*_SUMMARY, sa.func.coalesce(sa.func.length(letters.c.value), 0).label("bytes"))
    if service is not None:
        statement = statement.where(letters.c.service == service)
    if before is not None:
        statement = statement.where(letters.c.id < before)
    rows = (await tx.execute(statement.order_by(letters.c.id.desc()).limit(SHOWN))).all()
    return [dict(row._mapping) for row in rows]


async def counts_since(tx: Transaction, since: datetime) -> dict[str, int]:
    """How many came since then, by the service that refused the message; a name that is no service's is "unknown"."""
    service = sa.case((letters.c.service.in_(DEAD_LETTERS), letters.c.service), else_="unknown").label("service")
    counting = sa.select(service, sa.func.count().label("number")).where(letters.c.at >= since)
    return {row.service: int(row.number) for row in (await tx.execute(counting.group_by(service))).all()}


async def one(tx: Transaction, letter_id: int) -> dict[str, Any] | None:
    """A dead letter, whole; None where there is none."""
    row = (await tx.execute(sa.select(letters).where(letters.c.id == letter_id))).one_or_none()
    return dict(row._mapping) | {"headers": _headers(row.headers)} if row is not None else None


async def refusal_of(tx: Transaction, event_id: str) -> Any:
    """Who refused an event, and why (a row with service, reason), where it is among the newest letters; None else."""
    newest = sa.select(letters.c.service, letters.c.reason, letters.c.headers).order_by(letters.c.id.desc())
    for row in (await tx.execute(newest.limit(SHOWN))).all():
        if text_headers(_headers(row.headers)).get("ce_id") == event_id:
            return row
    return None


async def send_again(tx: Transaction, letter: dict[str, Any], by: str) -> None:
    """Sends a message again, unchanged, to the topic where it was. Who has handled it passes it over by its id.

    A topic that its service does not read is refused: whoever may write dead letters may not thereby write there.

    Raises:
        InvalidField: it was not kept whole, or was never where it says.
    """
    value: bytes | None = letter["value"]
    if value is not None and len(value) >= MAX_KEPT_BYTES:
        raise InvalidField("value", f"only its first {MAX_KEPT_BYTES} bytes were kept; publish it anew")
    read = {topic.name for topic in SHARED_TOPICS if letter["service"] in topic.consumers}
    if letter["topic"] not in read:
        raise InvalidField("topic", f"{letter['topic'][:100]!r} is not read by {letter['service'][:50]!r}")
    message = WireMessage(letter["key"], value, letter["headers"])
    event_id = text_headers(letter["headers"]).get("ce_id", f"letter-{letter['id']}")
    await put(tx, [Outgoing(letter["topic"], event_id, message)])
    now = {"sent_again_at": sa.func.now(), "sent_again_by": by}
    await tx.execute(sa.update(letters).where(letters.c.id == letter["id"]).values(**now))


async def send_all_again(tx: Transaction, ids: Iterable[int], by: str) -> tuple[int, list[tuple[int, str]]]:
    """Sends those of the letters again, in this order, that were not yet: how many, and which can't be, and why."""
    sent, left = 0, []
    for letter_id in ids:
        letter = await one(tx, letter_id)
        if letter is None or letter["sent_again_at"] is not None:
            continue
        try:
            await send_again(tx, letter, by)
        except InvalidField as err:
            left.append((letter_id, str(err)))
        else:
            sent += 1
    return sent, left


def _headers(raw: bytes) -> list[tuple[str, bytes]]:
    return msgspec.msgpack.decode(raw, type=list[tuple[str, bytes]])


def _text(text: str) -> str:
    """PostgreSQL keeps no NUL in a text."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
