"""When a model's schedule asks for a training, and which waiting requests are one. Pure.

Cron expressions are read as Debian's cron does (the library cronsim): in the schedule's time zone, where a time that
daylight saving leaves out comes at once after it, and one that it repeats comes once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from shipway.contract.spec import Schedule
from shipway.trainer.training import Job, Step

# A trainer looks every few seconds: what is later than this was missed.
ON_TIME = timedelta(minutes=2)


@dataclass(frozen=True)
class Planned:
    """A model with a schedule: since when its newest declaration holds, and what of it was done since.

    ``asked_at``: when the schedule last asked; ``worked_at``: when a job of the model was last made or ended, whoever
    asked for it; ``busy``: one is not over.
    """

    model: str
    schedule: Schedule
    declared_at: datetime
    asked_at: datetime | None = None
    worked_at: datetime | None = None
    busy: bool = False


def due(planned: Planned, now: datetime) -> datetime | None:
    """The time, in UTC, for which a training is to be asked for now; None where there is none.

    Of several that were missed it is the last one, or none at all (``missed``). While a job of the model is not over,
    the time passes without a training, or one is put in line behind it (``overlap``).
    """
    schedule = planned.schedule
    local = now.astimezone(ZoneInfo(schedule.timezone))
    slot = next(CronSim(schedule.cron, local + timedelta(minutes=1), reverse=True), None)
    while slot is not None and slot > local:
        slot = next(CronSim(schedule.cron, slot, reverse=True), None)
    if slot is None:
        return None
    done = planned.asked_at if schedule.overlap == "queue" else planned.worked_at
    if slot <= planned.declared_at or (done is not None and slot <= done):
        return None
    if planned.busy and schedule.overlap == "skip":
        return None
    if schedule.missed == "skip" and now - slot > ON_TIME:
        return None
    return slot.astimezone(UTC)


def joined(jobs: Iterable[Job], coalescing: Iterable[str]) -> list[tuple[Job, Step]]:
    """The waiting jobs that are one with a later request, of models whose requests are joined, and what they become.

    Only requests that never ran and ask for the same: training on the data before one moment, or on all there is.
    """
    models, newest = set(coalescing), dict[tuple[str, datetime | None], Job]()
    waiting = [job for job in jobs if job.state == "queued" and not job.stages and job.model in models and job.joins]
    for job in sorted(waiting, key=lambda job: (job.created_at, job.request_id)):
        newest[job.model, job.until] = job
    return [
        (job, Step("cancelled", 0, timedelta(0), f"joined with the later request {heir.request_id}"))
        for job in waiting
        if (heir := newest[job.model, job.until]) is not job
    ]
