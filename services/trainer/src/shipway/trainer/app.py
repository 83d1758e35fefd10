"""The trainer's composition root: the only place where its real parts are made."""

import time

from shipway.contract.topics import MODEL_DECLARATIONS
from shipway.runtime import log
from shipway.runtime.commands import command_admission
from shipway.runtime.guard import open_guard
from shipway.runtime.lifecycle import Body, Life
from shipway.runtime.objects import open_store
from shipway.runtime.parts import Parts, connected, consuming
from shipway.runtime.reconciler import Reconciler
from shipway.runtime.starting import reachable_store
from shipway.trainer import store
from shipway.trainer.api import add_routes
from shipway.trainer.barrier import Barrier
from shipway.trainer.handlers import HANDLERS
from shipway.trainer.scheduler import SCHEDULE_EVERY_S, Scheduler
from shipway.trainer.settings import TrainerSettings
from shipway.trainer.sweep import SWEEP_EVERY_S, Sweeper
from shipway.trainer.uploadsweep import UploadSweeper
from shipway.trainer.worker import Worker
from shipway.trainer.workplace import Workplace

_log = log.get(__name__)


def body(settings: TrainerSettings) -> Body:
    """The trainer's life."""

    async def run(life: Life) -> None:
        connections: list[Parts] = []
        if settings.shows_jobs:
            life.asgi = open_guard(life, settings.auth).around(life.app)
        else:
            _log.warning("jobs are not shown over HTTP: set AUTH__TOKENS_FILE, or AUTH__OFF in a closed network")

        async def tell_declarations_again() -> None:
            for parts in connections:
                async with parts.database.begin() as tx:
                    await store.tell_declarations_again(tx)

        async with connected(
            life, "trainer", settings.kafka, settings.database, on_broker_loss=tell_declarations_again
        ) as parts:
            connections.append(parts)
            if settings.shows_jobs:
                add_routes(life.app, parts.database)
            objects = open_store(settings.objects)
            await reachable_store(life, objects)
            loops: list[Reconciler] = []
            workers: list[Worker] = []

            def wake() -> None:
                for loop, worker in zip(loops, workers, strict=True):
                    loop.wake()
                    worker.look()

            admit = command_admission(settings.auth)
            async with consuming(life, parts, settings.kafka, HANDLERS, admit=admit, after_commit=wake) as consumer:
                barrier = Barrier(lambda: consumer.progress(MODEL_DECLARATIONS), time.monotonic)
                for i in range(settings.worker.slots):
                    place = Workplace(parts, settings.worker, objects, settings.objects, settings.data, barrier)
                    workers.append(Worker(place))
                    loops.append(Reconciler(f"worker {i}", workers[i].step, settings.worker.beat_s))
                    life.spawn(f"worker {i}", loops[i].run())
                sweeper = Reconciler("sweeper", Sweeper(parts.database, objects, settings.worker).step, SWEEP_EVERY_S)
                life.spawn("sweeper", sweeper.run())
                uploads = UploadSweeper(parts.database, objects, settings.worker)
                life.spawn("upload sweeper", Reconciler("upload sweeper", uploads.step, SWEEP_EVERY_S).run())
                scheduler = Reconciler("scheduler", Scheduler(parts).step, SCHEDULE_EVERY_S)
                life.spawn("scheduler", scheduler.run())
                life.readiness.check("worker", lambda: next((loop.problem for loop in loops if loop.problem), None))
                life.ready()
                await life.stopped()
            for worker in workers:
                await worker.stop()

    return run
