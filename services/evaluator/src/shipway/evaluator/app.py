"""The evaluator's composition root: the only place where its real parts are made."""

from shipway.evaluator.evidence import Court
from shipway.evaluator.handlers import HANDLERS
from shipway.evaluator.judge import Judge
from shipway.evaluator.settings import EvaluatorSettings
from shipway.runtime.lifecycle import Body, Life
from shipway.runtime.objects import open_store
from shipway.runtime.parts import connected, consuming
from shipway.runtime.reconciler import Reconciler
from shipway.runtime.starting import reachable_store


def body(settings: EvaluatorSettings) -> Body:
    """The evaluator's life."""

    async def run(life: Life) -> None:
        async with connected(life, "evaluator", settings.kafka, settings.database) as parts:
            objects = open_store(settings.objects)
            await reachable_store(life, objects)
            judge = Judge(parts, Court(objects, settings.objects, settings.data, settings.judge))
            loop = Reconciler("judge", judge.step, settings.judge.beat_s)
            life.spawn("judge", loop.run())
            life.readiness.check("judge", lambda: loop.problem or judge.problem)
            async with consuming(life, parts, settings.kafka, HANDLERS, after_commit=loop.wake):
                life.ready()
                await life.stopped()
            await judge.stop()

    return run
