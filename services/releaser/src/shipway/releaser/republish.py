"""Says every desired state again: at a slow beat, and at once when the broker lost its data.

Readers hold tables and know the generation, so a repetition is harmless, and a reader or a broker that missed
one has it soon.
"""

import asyncio

from shipway.contract import events as e
from shipway.contract.errors import Transient
from shipway.releaser.rollouts import event_id_of
from shipway.releaser.saving import published
from shipway.runtime import log
from shipway.runtime.parts import Parts

_log = log.get(__name__)


async def republish(parts: Parts) -> None:
    """Publishes the desired state of every model, outside the outbox.

    Raises:
        Transient: the database or the broker is away.
    """
    async with parts.database.begin() as tx:
        known = await published(tx)
    for desired, traceparent in known:
        await _publish(parts, desired, traceparent)
    async with parts.database.begin() as tx:
        # One that changed meanwhile may have been overtaken by its own past on the way; say the new one again.
        changed = [(d, t) for d, t in await published(tx) if (d, t) not in known]
    for desired, traceparent in changed:
        await _publish(parts, desired, traceparent)


async def republish_for_ever(parts: Parts, every_s: float) -> None:
    """The slow beat; an outage is passed over, as the next beat comes anyway."""
    while True:
        try:
            await republish(parts)
        except Transient as err:
            _log.debug("desired state not published again", reason=str(err))
        await asyncio.sleep(every_s)


async def _publish(parts: Parts, desired: e.DesiredState, traceparent: str | None) -> None:
    await parts.producer.publish(parts.source, desired, event_id=event_id_of(desired), traceparent=traceparent)
