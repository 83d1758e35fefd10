"""A run: stage after stage of one job, as long as this trainer takes them; what is written of each one's end."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec

from shipway.contract.errors import Permanent
from shipway.contract.events import TrainingCompleted, TrainingFailed, TrainingProgressed
from shipway.contract.spec import STAGES, ModelSpec, StageName, StagePolicy, format_duration, recorded_spec, to_builtins
from shipway.runtime import delivery, log
from shipway.runtime.children import Child, ChildEnd, opened_child
from shipway.runtime.database import Transaction
from shipway.runtime.objects import ObjectStore
from shipway.runtime.parts import Parts
from shipway.runtime.settings import DataSettings, ObjectsSettings
from shipway.runtime.waiting import until_reachable
from shipway.trainer import metrics, stagestore
from shipway.trainer.barrier import Barrier
from shipway.trainer.beside import Beside
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.stages import ALWAYS_RUN, BEGINS, Done, key_of, key_of_output
from shipway.trainer.stagestore import TakenStage
from shipway.trainer.training import Ending, Job, Step, after

_log = log.get(__name__)
CHILD = "shipway.trainer.child"


@dataclass(frozen=True)
class Workplace:
    """What runs need: the service's parts, and two signals. ``look``: there may be a reason to cancel."""

    parts: Parts
    settings: WorkerSettings
    store: ObjectStore
    objects: ObjectsSettings
    data: DataSettings
    barrier: Barrier
    child: str = CHILD
    look: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease(self) -> timedelta:
        """How long a stage is held without a sign of life."""
        return timedelta(seconds=self.settings.lease_s)


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


class Run:
    """From the taking of a stage to where this trainer's part in the job ends."""

    def __init__(self, place: Workplace, taken: TakenStage) -> None:
        self._place = place
        self._parts = place.parts
        self._beside = Beside(place.parts, place.settings, place.look, place.stopping, taken)
        self._child: Child | None = None

    async def run(self) -> None:
        """Works on the stage and on those after it, and writes down each end, however long the database is away."""
        taken: TakenStage | None = self._beside.taken
        assert taken is not None
        async with self._beside.alive(), AsyncExitStack() as children:
            while taken is not None:
                job, stage = taken.job, taken.stage
                _log.info("stage starts", model=job.model, request_id=job.request_id, stage=stage)
                end = await self._stage(taken, children)
                if not self._beside.hold.held:
                    _log.warning("the stage is in other hands; what this run made is left aside", stage=stage)
                    return
                async with self._beside.turn:
                    taken = await self._write_end(taken, end)
                    if taken is not None:
                        self._beside.taken = taken

    async def _stage(self, taken: TakenStage, children: AsyncExitStack) -> StageEnd:
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            spec = recorded_spec(taken.spec)
        except Permanent as err:  # declared under older rules
            problem = f"the model file is not valid any more; declare it again: {err}"
            return StageEnd(0.0, ending=Ending("refused", problem))
        if taken.stage == "record":
            return StageEnd(0.0, done=Done("record"))
        policy = spec.policy(taken.stage)
        with self._beside.late_after(policy.service_level):
            limit, out_of_time = _limit(spec, policy, taken)
            end = await self._found_or_done(taken, spec, limit.total_seconds() + begun, children)
        if end.ending is not None and end.ending.kind == "timed_out":
            end = replace(end, ending=out_of_time)
        return replace(end, seconds=clock() - begun)

    async def _found_or_done(
        self, taken: TakenStage, spec: ModelSpec, deadline: float, children: AsyncExitStack
    ) -> StageEnd:
        """What an earlier run with the same inputs gave, where there is one; else the work."""
        told: Mapping[str, Any] = {}
        if taken.stage == "get-data":
            end = await self._ask(taken, spec, "survey", told, deadline, children)
            if end.kind != "done":
                return self._unfinished(taken, end)
            told = end.result
        key = key_of(taken.stage, to_builtins(spec), told, taken.before)
        if taken.stage not in ALWAYS_RUN and (known := await self._known(taken, key)) is not None:
            return StageEnd(0.0, done=known, key=key, told=told, reused=True)
        end = await self._ask(taken, spec, "stage", told, deadline, children)
        if end.kind != "done" or "lost" in end.result:
            return self._unfinished(taken, end)
        done = Done(taken.stage, end.result["output"], end.result["result"])
        return StageEnd(0.0, end.log_tail, done, key=key, told=told)

    async def _known(self, taken: TakenStage, key: str) -> Done | None:
        async def look() -> Done | None:
            async with self._parts.database.begin() as tx:
                return await stagestore.known_output(tx, taken.job.model, key)

        known = await until_reachable("PostgreSQL", look)
        if known is None:
            return None
        where = key_of_output(taken.job.model, known.output)
        size = await until_reachable("the object store", lambda: asyncio.to_thread(self._place.store.size, where))
        return None if size is None else known

    async def _ask(
        self,
        taken: TakenStage,
        spec: ModelSpec,
        do: str,
        told: Mapping[str, Any],
        deadline: float,
        children: AsyncExitStack,
    ) -> ChildEnd:
        if self._child is None or self._child.ended:
            memory_mb = self._place.settings.memory_mb
            self._child = await children.enter_async_context(opened_child(self._place.child, memory_mb=memory_mb))
        objects = self._place.objects
        order = {
            "do": do,
            "stage": taken.stage,
            "spec": to_builtins(spec),
            "until": taken.until,
            "asked_at": taken.job.created_at,
            "told": told,
            "before": taken.before,
            "objects": objects.model_dump() | {"secret_key": objects.secret_key.get_secret_value()},
            "data": self._place.data.model_dump(),
            "max_threads": self._place.settings.max_threads,
        }
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        return await self._child.run(
            order, time_limit_s=left_s, on_message=self._beside.on_message, stop=self._beside.stop
        )

    def _unfinished(self, taken: TakenStage, end: ChildEnd) -> StageEnd:
        return StageEnd(0.0, end.log_tail, ending=_ending(taken, end))

    async def _write_end(self, taken: TakenStage, end: StageEnd) -> TakenStage | None:
        async def write() -> TakenStage | None:
            async with self._parts.database.begin() as tx:
                if end.done is None:
                    await self._give_up(tx, taken, end)
                    return None
                return await self._go_on(tx, taken, end, end.done)

        following = await until_reachable("PostgreSQL", write)
        self._parts.relay.wake()
        return following

    async def _give_up(self, tx: Transaction, taken: TakenStage, end: StageEnd) -> None:
        assert end.ending is not None
        job = replace(taken.job, cancelled_by=self._beside.hold.cancelled_by)
        step = after(job, end.ending)
        if await stagestore.give_up(tx, replace(taken, job=job), step, end.log_tail, end.seconds):
            await tell_end(tx, self._parts.source, job, step)

    async def _go_on(self, tx: Transaction, taken: TakenStage, end: StageEnd, done: Done) -> TakenStage | None:
        """Writes that a stage is done; gives the next one in hand, where this trainer takes it."""
        if not await stagestore.finish(
            tx,
            taken,
            done,
            key=end.key,
            told=end.told,
            reused=end.reused,
            seconds=end.seconds,
            log_tail=end.log_tail,
        ):
            _log.warning("the stage is in other hands; what it gave is left aside", request_id=taken.job.request_id)
            return None
        metrics.STAGE_SECONDS.labels(taken.stage, "reused" if end.reused else "done").observe(end.seconds)
        if taken.stage == STAGES[-1]:
            await self._record(tx, taken)
            return None
        if not end.reused and taken.stage not in ALWAYS_RUN:
            await stagestore.keep_output(tx, taken.job.model, end.key, done)
        following = STAGES[STAGES.index(taken.stage) + 1]
        progress = TrainingProgressed(
            model=taken.job.model,
            request_id=taken.job.request_id,
            stage=taken.stage,
            fraction=BEGINS[following],
            message="its inputs are those of an earlier run" if end.reused else "",
            outcome="reused" if end.reused else "done",
            seconds=end.seconds,
            attempt=taken.job.due.attempts,
        )
        await delivery.emit(tx, self._parts.source, progress)
        wanted = following in self._place.settings.taken_stages and self._beside.hold.cancelled_by is None
        if not wanted or self._place.stopping.is_set():
            return None
        return await stagestore.take(tx, taken.job, following, taken.owner, self._place.lease)

    async def _record(self, tx: Transaction, taken: TakenStage) -> None:
        told: dict[StageName, Mapping[str, Any]] = {done.stage: done.result for done in taken.before}
        version = await stagestore.complete(tx, taken, told["build"]["digest"])
        completed = msgspec.convert(
            {
                "model": taken.job.model,
                "request_id": taken.job.request_id,
                "version": version,
                "training_rows": told["preprocess"]["rows"],
                "set_aside_rows": told["clean"]["set_aside"],
                "metrics": told["evaluate"]["metrics"],
                "duration_s": taken.spent_s,
                "origin": taken.origin,
                **told["get-data"]["windows"],
                **told["build"],
            },
            TrainingCompleted,
        )
        await delivery.emit(tx, self._parts.source, completed)
        metrics.TRAININGS.labels("completed").inc()
        metrics.TRAINING_SECONDS.observe(taken.spent_s)
        _log.info("training completed", model=completed.model, version=version, digest=completed.digest[:12])


def _limit(spec: ModelSpec, policy: StagePolicy, taken: TakenStage) -> tuple[timedelta, Ending]:
    """How long the stage may run, and how it ends when that is over."""
    assert policy.time_limit is not None and policy.service_level is not None and policy.max_attempts is not None
    left = max(timedelta(0), spec.training.time_limit - timedelta(seconds=taken.spent_s))
    limit, field, said = policy.time_limit, f"stages.{taken.stage}.time_limit", policy.time_limit
    if left <= limit:
        limit, field, said = left, "training.time_limit", spec.training.time_limit
    if policy.on_late == "retry" and taken.job.due.attempts < policy.max_attempts and policy.service_level < limit:
        said = policy.service_level
        field = f"stages.{taken.stage}.service_level ({format_duration(said)})"
        return said, Ending("late", f"{taken.stage}: took longer than {field}")
    reason = f"took longer than {field} ({format_duration(said)}); raise it or narrow data.train"
    return limit, Ending("timed_out", reason)


def _ending(taken: TakenStage, end: ChildEnd) -> Ending:
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
