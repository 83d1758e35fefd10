"""Looks for work: settles jobs that nobody works on, takes the next one, and sees it through."""

import asyncio
import os
import secrets
import socket
from datetime import datetime, timedelta

from shipway.contract.errors import Transient
from shipway.runtime import log, trace
from shipway.runtime.waiting import happens
from shipway.trainer import metrics, store
from shipway.trainer.run import Run, Workplace, tell_end
from shipway.trainer.store import TakenJob
from shipway.trainer.training import Job, Step, next_job, unattended

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
        """Ends the training in hand, gives the job back, and takes no other."""
        self._place.stopping.set()
        if not await happens(self._idle, GIVE_BACK_WITHIN_S):
            _log.warning("a job was not given back in time; its lease will run out")

    async def step(self) -> bool:
        """Takes a job and works on it; gives False where there is none.

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
            with trace.within(taken.traceparent):
                await Run(self._place, taken).run()
            return True
        finally:
            self._idle.set()

    async def _take(self) -> tuple[TakenJob | None, frozenset[str]]:
        """The job to work on, if there is one, and the requests that may not start yet."""
        clock = asyncio.get_running_loop().time
        try:
            async with self._place.parts.database.begin() as tx:
                opened, now = await store.open_jobs(tx)
                new = [o.job.request_id for o in opened if o.job.state == "queued" and o.job.attempts == 0]
                held = self._place.barrier.held(new)
                left: list[Job] = []
                for found in opened:
                    step = self._unattended(found.job, now, clock(), found.job.request_id in held)
                    if step is None:
                        left.append(found.job)
                        continue
                    with trace.within(found.traceparent):
                        await store.settle_unattended(tx, found.job, step)
                        await tell_end(tx, self._place.parts.source, found.job, found.stage, step)
                metrics.count_open(left)
                chosen = next_job(left, now, held)
                taken = None if chosen is None else await store.take(tx, chosen, self._owner, self._place.lease)
        except Transient:
            # Whoever holds a lease could not renew it either: give them the time to.
            self._blind_until_s = clock() + self._place.settings.lease_s
            raise
        self._place.parts.relay.wake()
        return taken, held

    def _unattended(self, job: Job, now: datetime, now_s: float, held: bool) -> Step | None:
        if job.state == "running" and now_s < self._blind_until_s:
            return None
        if held and job.cancelled_by is None:
            return None  # whether its model is declared is not known yet
        return unattended(job, now, timedelta(seconds=self._place.settings.declaration_grace_s))
