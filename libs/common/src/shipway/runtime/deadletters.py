"""What becomes of a message that a consumer refuses: an event that holds it unchanged, with the reason."""

from datetime import UTC, datetime

from aiokafka import ConsumerRecord

from shipway.contract.errors import Permanent
from shipway.contract.events import DeadLettered

MAX_KEPT_BYTES = 500_000


def dead_letter(service: str, record: ConsumerRecord, error: Permanent) -> DeadLettered:
    """The dead letter of a refused record; of a huge one only the beginning is kept, which the reason says."""
    value, reason = record.value, str(error)
    if value is not None and len(value) > MAX_KEPT_BYTES:
        reason += f" (its first {MAX_KEPT_BYTES} of {len(value)} bytes are kept)"
        value = value[:MAX_KEPT_BYTES]
    return DeadLettered(
        service=service,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason[:4000],
        error=type(error).__name__,
        at=datetime.now(UTC),
        key=record.key[:1000] if record.key is not None else None,
        value=value,
        headers=[(key[:200], value[:1000]) for key, value in list(record.headers)[:50]],
    )
