"""Looks for work: settles jobs that nobody works on, takes the next stage, and goes on from there."""

import asyncio
import os
import secrets
import socket
from datetime import datetime, timedelta

from shipway.contract.errors import Permanent, Transient
from shipway.runtime import log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.waiting import happens
from shipway.trainer import metrics, stagestore, taking
from shipway.trainer.endings import tell_end
from shipway.trainer.jobrows import OpenJob, TakenStage, open_jobs
from shipway.trainer.run import Run
from shipway.trainer.schedule import joined
from shipway.trainer.training import Job, Step, next_task, unattended
from shipway.trainer.workplace import Workplace

_log = log.get(__name__)
GIVE_BACK_WITHIN_S = 15


class Worker:
    """One slot for trainings. ``step`` is a reconciler's; ``stop`` is awaited before the parts go."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._idle = asyncio.Event()
        self._idle.set()
        self._blind_until_s = 0.0

    def look(self) -> None:
        """Says that there may be a reason to cancel."""
        self._place.look.set()

    async def stop(self) -> None:
        """Ends the stage in hand, gives it back, and takes no other."""
        self._place.stopping.set()
        if not await happens(self._idle, GIVE_BACK_WITHIN_S):
            _log.warning("a stage was not given back in time; its lease will run out")

    async def step(self) -> bool:
        """Takes a stage and works on from there; gives False where there is none.

        Raises:
            Transient: the database, or the broker, is away.
        """
        if self._place.stopping.is_set():
            return False
        self._idle.clear()
        try:
            taken, held = await self._take()
            if taken is None and await self._place.barrier.look(held):
                taken, _ = await self._take()
            if taken is None:
                return False
            job = taken.job
            with trace.within(taken.traceparent, "training", model=job.model, request_id=job.request_id):
                await Run(self._place, taken).run()
            return True
        finally:
            self._idle.set()

    async def _take(self) -> tuple[TakenStage | None, frozenset[str]]:
        """The stage to work on, if there is one, and the requests that may not start yet."""
        clock = asyncio.get_running_loop().time
        try:
            async with self._place.parts.database.begin() as tx:
                opened, now = await open_jobs(tx)
                held = self._place.barrier.held([o.job.request_id for o in opened if o.job.state == "queued"])
                left: dict[str, OpenJob] = {}
                for found in opened:
                    step = self._unattended(found.job, now, clock(), found.job.request_id in held)
                    if step is None:
                        left[found.job.request_id] = found
                    else:
                        await self._settle(tx, found, step)
                coalescing = [found.job.model for found in left.values() if found.joins]
                for job, step in joined((found.job for found in left.values()), coalescing):
                    await self._settle(tx, left.pop(job.request_id), step)
                metrics.count_open(found.job for found in left.values())
                chosen = next_task((found.job for found in left.values()), now, held, self._place.settings.taken_stages)
                taken = None if chosen is None else await self._start(tx, left[chosen.request_id])
        except Transient:
            # Whoever holds a lease could not renew it either: give them the time to.
            self._blind_until_s = clock() + self._place.settings.lease_s
            raise
        self._place.parts.relay.wake()
        return taken, held

    async def _start(self, tx: Transaction, found: OpenJob) -> TakenStage | None:
        job = found.job
        if job.state == "queued":
            try:
                job = await taking.begin(tx, job)
            except Permanent as err:  # declared under older rules
                reason = f"the model file is not valid any more; declare it again: {err}"
                await self._settle(tx, found, Step("failed", 0, timedelta(0), reason))
                return None
        if job.due.name not in self._place.settings.taken_stages:
            return None  # whoever takes that stage sees it now
        return await taking.take(tx, job, job.due.name, self._owner, self._place.lease)

    async def _settle(self, tx: Transaction, found: OpenJob, step: Step) -> None:
        with trace.within(found.traceparent, "settle"):
            await stagestore.settle(tx, found.job, step)
            await tell_end(tx, self._place.parts.source, found.job, step)

    def _unattended(self, job: Job, now: datetime, now_s: float, held: bool) -> Step | None:
        if job.state == "running" and now_s < self._blind_until_s:
            return None
        if held and job.cancelled_by is None:
            return None  # whether its model is declared is not known yet
        return unattended(job, now, timedelta(seconds=self._place.settings.declaration_grace_s))
