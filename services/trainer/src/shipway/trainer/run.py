"""One run of one job: the child process, the lease beside it, the news of it, and what is written of its end."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shipway.contract.errors import Permanent, Transient
from shipway.contract.events import TrainingCompleted, TrainingFailed, TrainingProgressed
from shipway.contract.spec import format_duration, recorded_spec
from shipway.runtime import delivery, log
from shipway.runtime.children import ChildEnd, run_child
from shipway.runtime.database import Transaction
from shipway.runtime.parts import Parts
from shipway.runtime.settings import DataSettings, ObjectsSettings
from shipway.runtime.waiting import happens, until_reachable
from shipway.trainer import metrics, store
from shipway.trainer.barrier import Barrier
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.store import Hold, TakenJob
from shipway.trainer.training import Ending, Job, ProgressFilter, Step, after

_log = log.get(__name__)
CHILD = "shipway.trainer.child"


@dataclass(frozen=True)
class Workplace:
    """What runs need: the service's parts, and two signals. ``look``: there may be a reason to cancel."""

    parts: Parts
    settings: WorkerSettings
    objects: ObjectsSettings
    data: DataSettings
    barrier: Barrier
    child: str = CHILD
    look: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease(self) -> timedelta:
        """How long a job is held without a sign of life."""
        return timedelta(seconds=self.settings.lease_s)


async def tell_end(tx: Transaction, source: str, job: Job, stage: str, step: Step) -> None:
    """Tells of a job that ended without a version."""
    if step.state == "queued":
        _log.warning("training goes back to the queue", request_id=job.request_id, reason=step.reason)
        return
    failed = TrainingFailed(
        model=job.model, request_id=job.request_id, stage=stage, reason=step.reason, attempts=step.attempts
    )
    await delivery.emit(tx, source, failed)
    metrics.TRAININGS.labels(step.state).inc()
    _log.warning("training ended", request_id=job.request_id, state=step.state, stage=stage, reason=step.reason)


class Run:
    """A run, from the job's taking to what is written of its end."""

    def __init__(self, place: Workplace, taken: TakenJob) -> None:
        self._place = place
        self._taken = taken
        self._parts = place.parts
        self._stop = asyncio.Event()
        self._hold = Hold(held=True, cancelled_by=None)
        self._stage = "start"
        self._filter = ProgressFilter()
        self._told: asyncio.Queue[tuple[str, float, str]] = asyncio.Queue()

    async def run(self) -> None:
        """Trains, and writes down how it ended, however long the database is away by then."""
        taken, started = self._taken, datetime.now(UTC)
        _log.info("training starts", model=taken.model, request_id=taken.request_id, attempt=taken.attempts)
        try:
            limit = recorded_spec(taken.spec).training.time_limit
        except Permanent as err:  # declared under older rules
            end = ChildEnd("permanent", f"the model file is not valid any more; declare it again: {err}")
        else:
            end = await self._train(limit)
        if self._hold.held:
            await self._write_end(end, (datetime.now(UTC) - started).total_seconds())
        else:
            _log.warning("the job is in other hands; what this run made is left aside", request_id=taken.request_id)

    async def _train(self, limit: timedelta) -> ChildEnd:
        beside = [
            asyncio.create_task(loop) for loop in (self._keep_lease(), self._tell_progress(), self._stop_with_worker())
        ]
        for task in beside:
            task.add_done_callback(lambda _: self._stop.set())
        try:
            end = await run_child(
                self._place.child,
                self._order(),
                time_limit_s=limit.total_seconds(),
                on_message=self._on_message,
                stop=self._stop,
                memory_mb=self._place.settings.memory_mb,
            )
        finally:
            for task in beside:
                task.cancel()
            for ended in await asyncio.gather(*beside, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
        if end.kind == "timed_out":
            reason = f"took longer than training.time_limit ({format_duration(limit)}); raise it or narrow data.train"
            return ChildEnd("timed_out", reason, log_tail=end.log_tail)
        return end

    async def _write_end(self, end: ChildEnd, duration_s: float) -> None:
        async def write() -> None:
            async with self._parts.database.begin() as tx:
                if end.kind == "done":
                    await self._complete(tx, end, duration_s)
                else:
                    await self._give_up(tx, end)

        await until_reachable("PostgreSQL", write)
        self._parts.relay.wake()

    async def _complete(self, tx: Transaction, end: ChildEnd, duration_s: float) -> None:
        version = await store.complete(tx, self._taken, end.result["digest"], end.log_tail)
        if version is None:
            _log.warning("the job is in other hands; its version is left aside", request_id=self._taken.request_id)
            return
        told = {name: value for name, value in end.result.items() if name != "windows"}
        identity = {"model": self._taken.model, "request_id": self._taken.request_id, "version": version}
        completed = msgspec.convert(
            {**identity, "duration_s": duration_s, **end.result["windows"], **told}, TrainingCompleted
        )
        await delivery.emit(tx, self._parts.source, completed)
        metrics.TRAININGS.labels("completed").inc()
        metrics.TRAINING_SECONDS.observe(duration_s)
        _log.info("training completed", model=completed.model, version=version, digest=completed.digest[:12])

    async def _give_up(self, tx: Transaction, end: ChildEnd) -> None:
        job = self._job()
        step = after(job, self._ending(end))
        if await store.give_up(tx, self._taken, step, end.log_tail):
            await tell_end(tx, self._parts.source, job, self._stage, step)

    def _ending(self, end: ChildEnd) -> Ending:
        match end.kind:
            case "permanent":
                return Ending("refused", end.reason)
            case "transient":
                return Ending("unavailable", end.reason)
            case "stopped":
                return Ending("stopped", "the trainer stopped")
            case "timed_out":
                return Ending("timed_out", end.reason)
            case _:
                return Ending("crashed", f"{self._stage}: {end.reason}")

    def _job(self) -> Job:
        taken, now = self._taken, datetime.now(UTC)
        return Job(
            request_id=taken.request_id,
            model=taken.model,
            state="running",
            attempts=taken.attempts,
            max_attempts=taken.max_attempts,
            created_at=now,
            not_before=now,
            cancelled_by=self._hold.cancelled_by,
        )

    def _order(self) -> dict[str, Any]:
        objects = self._place.objects
        return {
            "spec": self._taken.spec,
            "until": self._taken.until,
            "objects": objects.model_dump() | {"secret_key": objects.secret_key.get_secret_value()},
            "data": self._place.data.model_dump(),
            "max_threads": self._place.settings.max_threads,
        }

    def _on_message(self, message: dict[str, Any]) -> None:
        self._stage = message["stage"]
        if self._filter.admits(asyncio.get_running_loop().time(), self._stage):
            self._told.put_nowait((self._stage, message["fraction"], message["message"]))

    async def _tell_progress(self) -> None:
        while True:
            stage, fraction, message = await self._told.get()
            progress = TrainingProgressed(
                model=self._taken.model,
                request_id=self._taken.request_id,
                stage=stage,
                fraction=fraction,
                message=message,
            )
            with suppress(Transient):  # news that nobody can be told now is old by the time that they can
                async with self._parts.database.begin() as tx:
                    if await store.note_progress(tx, self._taken, stage, fraction, message):
                        await delivery.emit(tx, self._parts.source, progress)
                self._parts.relay.wake()

    async def _keep_lease(self) -> None:
        """Renews the lease; ends the run when it is in other hands, or not wanted any more.

        While the database is away nobody can take the job either, so the run goes on: the fencing token
        decides afterwards.
        """
        while self._hold.held and self._hold.cancelled_by is None:
            try:
                async with self._parts.database.begin() as tx:
                    self._hold = await store.renew(tx, self._taken, self._place.lease)
            except Transient as err:
                _log.warning("lease not renewed", request_id=self._taken.request_id, reason=str(err))
            else:
                if not self._hold.held or self._hold.cancelled_by is not None:
                    return  # which stops the run
            self._place.look.clear()
            await happens(self._place.look, self._place.settings.renew_s)

    async def _stop_with_worker(self) -> None:
        await self._place.stopping.wait()
