"""Asks for the trainings that schedules want, by TrainingRequested like anybody else, through the outbox.

A request's id is made of the model and the time, so that several trainers, or one that starts again, ask for one job.
"""

from datetime import datetime

from shipway.contract.events import TrainingRequested
from shipway.runtime import delivery, log, trace
from shipway.runtime.parts import Parts
from shipway.trainer import store
from shipway.trainer.schedule import due

_log = log.get(__name__)
REASON = "its schedule"
SCHEDULE_EVERY_S = 5.0


class Scheduler:
    """``step`` is a reconciler's."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._asked: dict[str, datetime] = {}

    async def step(self) -> bool:
        """Asks for what is due.

        Raises:
            Transient: the database is away.
        """
        async with self._parts.database.begin() as tx:
            planned, now = await store.planned(tx)
            found = [(one.model, slot) for one in planned if (slot := due(one, now)) is not None]
            # Until a request has come back as a job, the tables say nothing of it.
            fresh = [(model, slot) for model, slot in found if self._asked.get(model) != slot]
            for model, slot in fresh:
                request_id = f"{store.SCHEDULED}{model}:{slot:%Y-%m-%dT%H:%MZ}"
                asked = TrainingRequested(
                    model=model, request_id=request_id, reason=REASON, requested_by=self._parts.source
                )
                with trace.within(None, "schedule"):
                    await delivery.emit(tx, self._parts.source, asked, event_id=request_id)
                _log.info("training is due by schedule", model=model, slot=slot.isoformat())
        self._asked.update(fresh)
        if fresh:
            self._parts.relay.wake()
        return False
