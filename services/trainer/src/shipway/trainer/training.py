"""What becomes of a training: which stage of which job runs next, what each way of ending means. Pure.

    job    queued -> running -> completed | failed | cancelled         failed, cancelled -> queued: by a command
    stage  waiting -> running -> done
              ^----------'  its process crashed, its lease ran out, a dependency or the service went away

A job is running from its first stage's start to its last one's end; its stages run one after the other, each wherever
a trainer takes it. A try is counted when a stage is taken, and given back when the stage itself was not at fault.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shipway.trainer.kinds import ALL_STAGES, STAGES_OF, Kind, StageName

State = Literal["queued", "running", "completed", "failed", "cancelled"]
OVER: frozenset[State] = frozenset({"completed", "failed", "cancelled"})
_LONGEST_PAUSE = timedelta(minutes=10)
_OUTAGE_PAUSE = timedelta(seconds=5)


@dataclass(frozen=True)
class Stage:
    """A stage of a job. ``attempts`` counts the one that runs; ``retry_pause`` is the rest before the second."""

    name: StageName
    state: Literal["waiting", "running", "done"] = "waiting"
    attempts: int = 0
    max_attempts: int = 3
    retry_pause: timedelta = timedelta(seconds=2)
    not_before: datetime | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True)
class Job:
    """A job that is not over, as far as decisions need it.

    ``stages`` are those of its last run, none before the first. ``owner`` is a trainer of the release before, which
    holds a whole job by ``lease_until``. ``joins``: it may be one with another request for the data before ``until``.
    """

    request_id: str
    model: str
    state: State
    created_at: datetime
    not_before: datetime
    stages: tuple[Stage, ...] = ()
    declared: bool = True
    cancelled_by: str | None = None
    owner: str | None = None
    lease_until: datetime | None = None
    until: datetime | None = None
    joins: bool = True
    kind: Kind = "training"

    @property
    def lane(self) -> tuple[str, bool]:
        """Jobs of one lane go one after the other. A model's searches have one of their own, for they take long."""
        return self.model, self.kind == "search"

    @property
    def due(self) -> Stage:
        """The stage that is to run, or runs: the first that is not done."""
        return next((stage for stage in self.stages if stage.state != "done"), Stage(STAGES_OF[self.kind][0]))


@dataclass(frozen=True)
class Ending:
    """How a run of a stage ended, other than by being done.

    ``refused``: it will fail the same way for ever; ``unavailable``: something that it needs is away; ``lost``: the
    output of the stage ``back_to`` is not there any more; ``crashed``: its process died; ``timed_out``: over its time
    limit; ``late``: over its service level, where that means another try; ``lease_expired``: its trainer was not
    heard of; ``stopped``: the service stops; ``cancelled``: an operator's wish.
    """

    kind: Literal[
        "refused", "unavailable", "lost", "crashed", "timed_out", "late", "lease_expired", "stopped", "cancelled"
    ]
    reason: str
    back_to: StageName | None = None


@dataclass(frozen=True)
class Step:
    """What a job becomes: its state, the attempts of its due stage, that stage's rest before it is taken again, why.

    ``back_to``: this stage and those after it are to run again.
    """

    state: State
    attempts: int
    rest: timedelta
    reason: str
    back_to: StageName | None = None


def next_task(
    jobs: Iterable[Job], now: datetime, held: Collection[str] = (), allowed: Collection[StageName] = ALL_STAGES
) -> Job | None:
    """The job whose due stage is to be taken: the oldest that may go on, of those whose stage is ``allowed``.

    A model has one job under way at a time, and one search beside it. ``held``: these requests may not start.
    """
    jobs = list(jobs)
    busy = {job.lane for job in jobs if job.state == "running"}
    ready = [
        job
        for job in jobs
        if job.due.name in allowed and (_may_go_on(job, now) if job.state == "running" else _may_start(job, now, busy))
    ]
    return min(
        (job for job in ready if job.state == "running" or job.request_id not in held),
        key=lambda job: (job.created_at, job.request_id),
        default=None,
    )


def _may_go_on(job: Job, now: datetime) -> bool:
    stage = job.due
    rested = stage.not_before is None or stage.not_before <= now
    return bool(job.stages) and job.owner is None and stage.state == "waiting" and rested and job.cancelled_by is None


def _may_start(job: Job, now: datetime, busy: Collection[tuple[str, bool]]) -> bool:
    return job.state == "queued" and job.declared and job.not_before <= now and job.lane not in busy


def unattended(job: Job, now: datetime, grace: timedelta) -> Step | None:
    """What becomes of a job that no trainer works on; None where it is to be left as it is.

    A request whose model nobody declared waits for ``grace`` first: declaration and request come by different
    topics, so either may be first.
    """
    if job.state == "running":
        if job.owner is not None or not job.stages:  # a whole job of the release before
            if job.lease_until is None or job.lease_until >= now:
                return None
            return Step("queued", 0, timedelta(0), "its trainer was not heard of any more")
        stage = job.due
        if stage.state == "waiting":
            return None if job.cancelled_by is None else after(job, Ending("cancelled", ""))
        if stage.lease_until is None or stage.lease_until >= now:
            return None
        return after(job, Ending("lease_expired", "its trainer was not heard of any more"))
    if job.cancelled_by is not None:
        return after(job, Ending("cancelled", ""))
    if job.declared or now < job.created_at + grace:
        return None
    reason = f"model {job.model!r} is not declared; run: shipway model declare FILE.toml"
    return Step("failed", job.due.attempts, timedelta(0), reason)


def after(job: Job, ending: Ending) -> Step:
    """What a running job becomes after a run of its due stage that did not get it done."""
    stage = job.due
    if job.cancelled_by is not None or ending.kind == "cancelled":
        return Step("cancelled", stage.attempts, timedelta(0), f"cancelled by {job.cancelled_by or 'an operator'}")
    if ending.kind in ("refused", "timed_out"):
        return Step("failed", stage.attempts, timedelta(0), ending.reason)
    if ending.kind in ("unavailable", "stopped"):
        rest = timedelta(0) if ending.kind == "stopped" else _OUTAGE_PAUSE
        return Step("running", max(0, stage.attempts - 1), rest, ending.reason)
    if stage.attempts >= stage.max_attempts:
        tries = f"{stage.attempts} attempt{'s' if stage.attempts > 1 else ''}"
        return Step("failed", stage.attempts, timedelta(0), f"gave up after {tries}: {ending.reason}")
    if ending.kind == "lost":
        return Step("running", stage.attempts, timedelta(0), ending.reason, ending.back_to)
    rest = min(_LONGEST_PAUSE, stage.retry_pause * 2 ** min(max(0, stage.attempts - 1), 20))
    return Step("running", stage.attempts, rest, ending.reason)


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
