"""What becomes of a training job: which is taken next, what each way of ending means, what is told on the way.

    queued -> running -> completed | failed | cancelled
                 `-> queued again: its process crashed, its lease ran out, a dependency or the service went away

An attempt is counted when a job is taken, and given back when the training itself was not at fault.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["queued", "running", "completed", "failed", "cancelled"]
OVER: frozenset[State] = frozenset({"completed", "failed", "cancelled"})
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True)
class Job:
    """A job that is not over, as far as decisions need it. ``attempts`` counts the one that runs."""

    request_id: str
    model: str
    state: State
    attempts: int
    max_attempts: int
    created_at: datetime
    not_before: datetime
    lease_until: datetime | None = None
    declared: bool = True
    cancelled_by: str | None = None


@dataclass(frozen=True)
class Ending:
    """How a run of a job ended, without a version.

    ``refused``: it will fail the same way for ever; ``unavailable``: something that it needs is away;
    ``crashed``: its process died; ``timed_out``: over the model's time limit; ``lease_expired``: its trainer
    was not heard of; ``stopped``: the service stops; ``cancelled``: an operator's wish.
    """

    kind: Literal["refused", "unavailable", "crashed", "timed_out", "lease_expired", "stopped", "cancelled"]
    reason: str


@dataclass(frozen=True)
class Step:
    """The job's next state, its attempts by then, how long it rests before it is taken again, and why."""

    state: State
    attempts: int
    rest: timedelta
    reason: str


def next_job(jobs: Iterable[Job], now: datetime, held: Collection[str] = ()) -> Job | None:
    """The job to take: the oldest that may start, of a model that trains nothing now. ``held``: not these requests."""
    jobs = list(jobs)
    busy = {job.model for job in jobs if job.state == "running"}
    ready = [
        job
        for job in jobs
        if job.state == "queued"
        and job.declared
        and job.not_before <= now
        and job.model not in busy
        and job.request_id not in held
    ]
    return min(ready, key=lambda job: (job.created_at, job.request_id), default=None)


def unattended(job: Job, now: datetime, grace: timedelta) -> Step | None:
    """What becomes of a job that no trainer works on; None where it is to be left as it is.

    A request whose model nobody declared waits for ``grace`` first: declaration and request come by different
    topics, so either may be first.
    """
    if job.state == "running":
        if job.lease_until is None or job.lease_until >= now:
            return None
        return after(job, Ending("lease_expired", "its trainer was not heard of any more"))
    if job.cancelled_by is not None:
        return after(job, Ending("cancelled", ""))
    if job.declared or now < job.created_at + grace:
        return None
    reason = f"model {job.model!r} is not declared; run: shipway model declare FILE.toml"
    return Step("failed", job.attempts, timedelta(0), reason)


def after(job: Job, ending: Ending) -> Step:
    """What a running job becomes after a run that gave no version."""
    if job.cancelled_by is not None or ending.kind == "cancelled":
        return Step("cancelled", job.attempts, timedelta(0), f"cancelled by {job.cancelled_by or 'an operator'}")
    if ending.kind in ("refused", "timed_out"):
        return Step("failed", job.attempts, timedelta(0), ending.reason)
    if ending.kind in ("unavailable", "stopped"):
        rest = timedelta(0) if ending.kind == "stopped" else 5 * _FIRST_PAUSE
        return Step("queued", max(0, job.attempts - 1), rest, ending.reason)
    if job.attempts >= job.max_attempts:
        tries = f"{job.attempts} attempt{'s' if job.attempts > 1 else ''}"
        return Step("failed", job.attempts, timedelta(0), f"gave up after {tries}: {ending.reason}")
    rest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(job.attempts, 10))
    return Step("queued", job.attempts, rest, ending.reason)


class ProgressFilter:
    """Lets through what is worth an event: each change of stage, and else at most one in ``every_s``."""

    def __init__(self, every_s: float = 0.5) -> None:
        self._every_s = every_s
        self._stage: str | None = None
        self._last_s = 0.0

    def admits(self, now_s: float, stage: str) -> bool:
        """Whether progress in ``stage`` at ``now_s`` is told."""
        if stage == self._stage and now_s - self._last_s < self._every_s:
            return False
        self._stage, self._last_s = stage, now_s
        return True
