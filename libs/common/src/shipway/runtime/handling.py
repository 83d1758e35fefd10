"""What becomes of a message: inbox and effect in one transaction, or a dead letter; the type of an error decides."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRecord

from shipway.contract.envelope import Envelope, attribute, decode, text_headers
from shipway.contract.errors import InvalidField, Permanent, Transient
from shipway.contract.events import DeadLettered, Payload
from shipway.contract.topics import Service, topic_of
from shipway.contract.versions import NewerType, check_not_newer
from shipway.runtime import log, metrics
from shipway.runtime.database import Database, Transaction
from shipway.runtime.deadletters import dead_letter
from shipway.runtime.delivery import count_crash, emit, first_time, first_times, outbox_written
from shipway.runtime.failpoints import reached
from shipway.runtime.newer import PassedOver

_log = log.get(__name__)
Handler = Callable[[Transaction, Any, Envelope], Awaitable[None]]
RawHandler = Callable[[Transaction, Sequence[ConsumerRecord]], Awaitable[None]]
# Raises Permanent for an event that is not to be handled, whatever it says.
Admission = Callable[[ConsumerRecord, Envelope], None]
CRASHES_ALLOWED = 3


@dataclass(frozen=True)
class Ended:
    """What came of a message: whether it had an effect, and whether there is something new in the outbox."""

    new: bool
    told: bool


PASSED_OVER, _REFUSED = Ended(new=False, told=False), Ended(new=False, told=True)


class Handling:
    """A service's handlers: of events by type, and ``raw`` ones of whole messages by topic (see Consumer)."""

    def __init__(
        self,
        service: Service,
        database: Database,
        handlers: Mapping[type[Payload], Handler],
        raw: Mapping[str, RawHandler],
        admit: Admission,
    ) -> None:
        self._service = service
        self._database = database
        self._handlers = {t.type: handler for t, handler in handlers.items()}
        self._raw = dict(raw)
        self._admit = admit
        self._passed_over = PassedOver()

    async def settle(self, record: ConsumerRecord) -> Ended:
        """Handles the message, passes it over, or refuses it.

        Raises:
            Transient: not now; it is to be tried again. Any other error is a bug.
        """
        try:
            if record.topic in self._raw:
                return await self._handle_raw(record)
            return await self._handle(record)
        except NewerType as newer:
            self._passed_over.note(record.topic, newer)
            return PASSED_OVER
        except Permanent as err:
            await self._refuse(record, dead_letter(self._service, record, err))
            return _REFUSED

    async def settle_together(self, topic: str, records: Sequence[ConsumerRecord]) -> Ended:
        """Handles messages of a topic of ``raw`` in one transaction; where one of them is at fault, each by itself.

        Raises:
            Transient: as of settle.
        """
        if len(records) > 1:
            try:
                return await self._handle_together(topic, records)
            except Transient:
                raise
            except Exception as err:  # noqa: BLE001  by itself it is passed over, refused, or counted as a crash
                _log.warning(
                    "messages are handled one by one", topic=topic, reason=f"{type(err).__name__}: {err}"[:300]
                )
        ended = [await self.settle(record) for record in records]
        return Ended(any(one.new for one in ended), any(one.told for one in ended))

    async def _handle_together(self, topic: str, records: Sequence[ConsumerRecord]) -> Ended:
        by_event: dict[tuple[str, str], ConsumerRecord] = {}
        for record in records:
            by_event.setdefault(_identity(record), record)
        async with self._database.begin() as tx:
            new = await first_times(tx, by_event)
            if new:
                reached("inbox recorded")
                await self._raw[topic](tx, [record for event, record in by_event.items() if event in new])
                reached("effect done")
            told = outbox_written(tx)
        metrics.CONSUMED.labels(topic, "handled").inc(len(new))
        metrics.CONSUMED.labels(topic, "repeated").inc(len(records) - len(new))
        return Ended(bool(new), told)

    async def _handle_raw(self, record: ConsumerRecord) -> Ended:
        source, event_id = _identity(record)

        async def effect(tx: Transaction) -> None:
            await self._raw[record.topic](tx, [record])

        return await self._once(record, record.topic, source, event_id, effect)

    async def _handle(self, record: ConsumerRecord) -> Ended:
        event = decode(record.value, record.headers, record.timestamp)
        if (proper := topic_of(event.payload).name) != record.topic:
            # Who may write to one topic must not thereby say what belongs on another.
            raise InvalidField("ce_type", f"{event.payload.type} belongs on {proper}, not on {record.topic}")
        handler = self._handlers.get(event.payload.type)
        if handler is None:
            metrics.CONSUMED.labels(event.payload.type, "passed over").inc()
            return PASSED_OVER
        self._admit(record, event)

        async def effect(tx: Transaction) -> None:
            await handler(tx, event.payload, event)

        ended = await self._once(record, event.payload.type, event.source, event.id, effect)
        if ended.new:
            _log.info("event handled", type=event.payload.type, event_id=event.id)
        return ended

    async def _once(
        self,
        record: ConsumerRecord,
        kind: str,
        source: str,
        event_id: str,
        effect: Callable[[Transaction], Awaitable[None]],
    ) -> Ended:
        """Inbox and effect in one transaction. Nothing new where it was there already, or crashed too often."""
        try:
            async with self._database.begin() as tx:
                new = await first_time(tx, source, event_id)
                if new:
                    reached("inbox recorded")
                    await effect(tx)
                    reached("effect done")
                told = outbox_written(tx)
        except (Transient, Permanent, asyncio.CancelledError):
            raise
        except Exception as bug:
            if await self._crashed_too_often(source, event_id):
                why = "".join(traceback.format_exception(bug))[-2000:]
                reason = Permanent(f"handling it crashed {CRASHES_ALLOWED} times: {why}")
                await self._refuse(record, dead_letter(self._service, record, reason))
                return _REFUSED
            raise
        metrics.CONSUMED.labels(kind, "handled" if new else "repeated").inc()
        return Ended(new, told)

    async def _crashed_too_often(self, source: str, event_id: str) -> bool:
        async with self._database.begin() as tx:
            return await count_crash(tx, source, event_id) >= CRASHES_ALLOWED

    async def _refuse(self, record: ConsumerRecord, letter: DeadLettered) -> None:
        place = f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp}"
        async with self._database.begin() as tx:
            if await first_time(tx, "dead-letters", place):
                await emit(tx, f"shipway/{self._service}", letter)
                reached("refusal written")
        reached("refusal committed")
        _log.warning("event refused", topic=record.topic, offset=record.offset, reason=letter.reason)
        metrics.DEAD_LETTERED.labels(record.topic).inc()


def _identity(record: ConsumerRecord) -> tuple[str, str]:
    """Source and id of the event that a message is by its headers.

    Raises:
        Permanent: it has none, or is of a newer release.
    """
    headers = text_headers(record.headers)
    check_not_newer(headers.get("ce_type", ""))
    return attribute(headers, "ce_source"), attribute(headers, "ce_id")
