"""The evaluator's composition root: the only place where its real parts are made."""

import asyncio

from shipway.evaluator.evidence import Court
from shipway.evaluator.handlers import handlers
from shipway.evaluator.judge import Judge
from shipway.evaluator.replaying import Replayer
from shipway.evaluator.settings import EvaluatorSettings
from shipway.runtime.commands import command_admission
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
            court = Court(objects, settings.objects, settings.data, settings.judge)
            judge, replayer = Judge(parts, court), Replayer(parts, court, settings.replay)
            judging = Reconciler("judge", judge.step, settings.judge.beat_s)
            replaying = Reconciler("replays", replayer.step, settings.replay.beat_s)
            life.spawn("judge", judging.run())
            life.spawn("replays", replaying.run())
            life.readiness.check("judge", lambda: judging.problem or judge.problem)

            asked = asyncio.Event()

            def after_commit() -> None:
                if asked.is_set():  # not for each promotion
                    asked.clear()
                    judging.wake()
                    replaying.wake()

            obeyed, admit = handlers(settings.replay.limits, asked.set), command_admission(settings.auth)
            async with consuming(life, parts, settings.kafka, obeyed, admit=admit, after_commit=after_commit):
                life.ready()
                await life.stopped()
            await asyncio.gather(judge.stop(), replayer.stop())

    return run
