"""How long a stage may run, what the end of its process means, and what is told of a job that it ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from shipway.contract.events import TrainingFailed
from shipway.contract.spec import ModelSpec, StagePolicy, format_duration
from shipway.runtime import delivery, log
from shipway.runtime.children import ChildEnd
from shipway.runtime.database import Transaction
from shipway.trainer import metrics
from shipway.trainer.jobrows import TakenStage
from shipway.trainer.kinds import StageName, time_limit_of
from shipway.trainer.stages import Done
from shipway.trainer.training import Ending, Job, Step

_log = log.get(__name__)


@dataclass(frozen=True)
class StageEnd:
    """How a stage ended: with what it gave (``done``), or otherwise (``ending``)."""

    seconds: float
    log_tail: str = ""
    done: Done | None = None
    ending: Ending | None = None
    key: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    reused: bool = False


async def tell_end(tx: Transaction, source: str, job: Job, step: Step) -> None:
    """Tells of a job that ended without a version, or of a stage that is to be tried again."""
    stage = job.due.name
    if step.state in ("queued", "running"):
        _log.warning("stage is tried again", request_id=job.request_id, stage=stage, reason=step.reason)
        return
    failed = TrainingFailed(
        model=job.model, request_id=job.request_id, stage=stage, reason=step.reason, attempts=step.attempts
    )
    await delivery.emit(tx, source, failed)
    metrics.TRAININGS.labels(step.state).inc()
    _log.warning("training ended", request_id=job.request_id, state=step.state, stage=stage, reason=step.reason)


def limit_of(spec: ModelSpec, policy: StagePolicy, taken: TakenStage) -> tuple[timedelta, Ending]:
    """How long the stage may run, and how it ends when that is over."""
    assert policy.time_limit is not None and policy.service_level is not None and policy.max_attempts is not None
    left = max(timedelta(0), time_limit_of(taken.job.kind, spec) - timedelta(seconds=taken.spent_s))
    field = "search.time_limit" if taken.stage == "search" else f"stages.{taken.stage}.time_limit"
    limit, said = policy.time_limit, policy.time_limit
    if left <= limit:
        limit, field, said = left, "training.time_limit", spec.training.time_limit
    if policy.on_late == "retry" and taken.job.due.attempts < policy.max_attempts and policy.service_level < limit:
        said = policy.service_level
        field = f"stages.{taken.stage}.service_level ({format_duration(said)})"
        return said, Ending("late", f"{taken.stage}: took longer than {field}")
    reason = f"took longer than {field} ({format_duration(said)}); raise it or narrow data.train"
    return limit, Ending("timed_out", reason)


def ending_of(taken: TakenStage, end: ChildEnd) -> Ending:
    """What the end of the child's work means for the stage, where it is not done."""
    match end.kind:
        case "done":
            lost: StageName = end.result["lost"]
            return Ending("lost", f"the output of the stage {lost} is not in the object store any more", lost)
        case "permanent":
            return Ending("refused", end.reason)
        case "transient":
            return Ending("unavailable", end.reason)
        case "stopped":
            return Ending("stopped", "the trainer stopped")
        case "timed_out":
            return Ending("timed_out", end.reason)
        case _:
            return Ending("crashed", f"{taken.stage}: {end.reason}")
