"""A run: stage after stage of one job, as long as this trainer takes them; what is written of each one's end."""

from dataclasses import replace

from shipway.contract.events import TrainingProgressed
from shipway.runtime import delivery, log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.waiting import until_reachable
from shipway.trainer import metrics, stagestore, taking
from shipway.trainer.beside import Beside
from shipway.trainer.completing import record
from shipway.trainer.endings import StageEnd, tell_end
from shipway.trainer.jobrows import TakenStage
from shipway.trainer.kinds import STAGES_OF
from shipway.trainer.outputstore import keep_output
from shipway.trainer.stages import ALWAYS_RUN, BEGINS, Done
from shipway.trainer.stagework import stage_work
from shipway.trainer.training import after
from shipway.trainer.workplace import Workplace

_log = log.get(__name__)


class Run:
    """From the taking of a stage to where this trainer's part in the job ends."""

    def __init__(self, place: Workplace, taken: TakenStage) -> None:
        self._place = place
        self._parts = place.parts
        self._beside = Beside(place.parts, place.settings, place.look, place.stopping, taken)

    async def run(self) -> None:
        """Works on the stage and on those after it, and writes down each end, however long the database is away."""
        taken: TakenStage | None = self._beside.taken
        assert taken is not None
        async with self._beside.alive(), stage_work(self._place, self._beside) as work:
            while taken is not None:
                job, stage = taken.job, taken.stage
                _log.info("stage starts", model=job.model, request_id=job.request_id, stage=stage)
                with trace.within(trace.current(), f"stage {stage}"):
                    end = await work.end_of(taken)
                if not self._beside.hold.held:
                    _log.warning("the stage is in other hands; what this run made is left aside", stage=stage)
                    return
                async with self._beside.turn:
                    taken = await self._write_end(taken, end)
                    if taken is not None:
                        self._beside.taken = taken

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
        stages = STAGES_OF[taken.job.kind]
        if taken.stage == stages[-1]:
            await record(tx, self._parts.source, taken)
            return None
        if not end.reused and taken.stage not in ALWAYS_RUN:
            await keep_output(tx, taken.job.model, end.key, done)
        following = stages[stages.index(taken.stage) + 1]
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
        return await taking.take(tx, taken.job, following, taken.owner, self._place.lease)
