"""What goes on beside a run: its lease is kept, news of it is told, and it is stopped where nobody wants it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any

from shipway.contract.errors import Transient
from shipway.contract.events import TrainingProgressed
from shipway.runtime import delivery, log
from shipway.runtime.parts import Parts
from shipway.runtime.waiting import happens
from shipway.trainer import metrics, stagestore
from shipway.trainer.jobrows import TakenStage
from shipway.trainer.settings import WorkerSettings
from shipway.trainer.stages import BEGINS
from shipway.trainer.stagestore import Hold, News
from shipway.trainer.training import ProgressFilter

_log = log.get(__name__)


class Beside:
    """The loops beside a run. ``taken`` is the stage in hand, changed only with the ``turn`` taken.

    ``stop`` is set when the run is to end: it lost its stage, is cancelled, or the service stops.
    """

    def __init__(
        self, parts: Parts, settings: WorkerSettings, look: asyncio.Event, stopping: asyncio.Event, taken: TakenStage
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._look = look
        self._stopping = stopping
        self.taken = taken
        self.turn = asyncio.Lock()
        self.hold = Hold(held=True, cancelled_by=None)
        self.stop = asyncio.Event()
        self._filter = ProgressFilter()
        self._fraction = 0.0
        self._told: asyncio.Queue[tuple[TakenStage, News]] = asyncio.Queue()

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """The loops run within."""
        loops = [asyncio.create_task(loop) for loop in (self._keep_lease(), self._tell(), self._stop_with_worker())]
        for task in loops:
            task.add_done_callback(lambda _: self.stop.set())
        try:
            yield
        finally:
            for task in loops:
                task.cancel()
            for ended in await asyncio.gather(*loops, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    @contextmanager
    def late_after(self, service_level: timedelta | None) -> Iterator[None]:
        """Tells it where what is done within takes longer than the stage's service level."""
        assert service_level is not None
        taken, words = self.taken, f"takes longer than its service level, {service_level.total_seconds():g} s"

        def late() -> None:
            metrics.STAGES_LATE.labels(taken.stage).inc()
            _log.warning("stage is late", request_id=taken.job.request_id, stage=taken.stage)
            self._told.put_nowait((taken, News(max(self._fraction, BEGINS[taken.stage]), words, "late")))

        timer = asyncio.get_running_loop().call_later(service_level.total_seconds(), late)
        try:
            yield
        finally:
            timer.cancel()

    def on_message(self, message: dict[str, Any], key: str) -> None:
        """News from the child, of the stage that has this key."""
        self._fraction = message["fraction"]
        if self._filter.admits(asyncio.get_running_loop().time(), self.taken.stage):
            known = message.get("known")
            self._told.put_nowait((self.taken, News(message["fraction"], message["message"], key=key, known=known)))

    async def _tell(self) -> None:
        while True:
            taken, news = await self._told.get()
            progress = TrainingProgressed(
                model=taken.job.model,
                request_id=taken.job.request_id,
                stage=taken.stage,
                fraction=news.fraction,
                message=news.message,
                outcome=news.outcome,
                attempt=taken.job.due.attempts,
            )
            with suppress(Transient):  # news that nobody can be told now is old by the time that they can
                async with self._parts.database.begin() as tx:
                    if await stagestore.note_progress(tx, taken, news):
                        await delivery.emit(tx, self._parts.source, progress)
                self._parts.relay.wake()

    async def _keep_lease(self) -> None:
        """Renews the lease; ends the run when it is in other hands, or not wanted any more.

        While the database is away nobody can take the stage either, so the run goes on: the fencing token
        decides afterwards.
        """
        lease = timedelta(seconds=self._settings.lease_s)
        while self.hold.held and self.hold.cancelled_by is None:
            try:
                async with self.turn, self._parts.database.begin() as tx:
                    self.hold = await stagestore.renew(tx, self.taken, lease)
            except Transient as err:
                _log.warning("lease not renewed", request_id=self.taken.job.request_id, reason=str(err))
            else:
                if not self.hold.held or self.hold.cancelled_by is not None:
                    return  # which stops the run
            self._look.clear()
            await happens(self._look, self._settings.renew_s)

    async def _stop_with_worker(self) -> None:
        await self._stopping.wait()
