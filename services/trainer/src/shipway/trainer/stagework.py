"""The work on one stage after another: what an earlier run gave is found, the rest is done in a child process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from shipway.contract.errors import Permanent
from shipway.contract.spec import ModelSpec, recorded_spec, to_builtins
from shipway.runtime.children import Child, ChildEnd, opened_child
from shipway.runtime.waiting import until_reachable
from shipway.trainer.beside import Beside
from shipway.trainer.endings import StageEnd, ending_of, limit_of
from shipway.trainer.jobrows import TakenStage
from shipway.trainer.kinds import own_python, policy_of, told_to
from shipway.trainer.outputstore import known_output
from shipway.trainer.stages import ALWAYS_RUN, Done, key_of, key_of_output
from shipway.trainer.training import Ending
from shipway.trainer.workplace import Workplace


class StageWork:
    """One child process at most, which is begun when it is first needed; see ``stage_work``."""

    def __init__(self, place: Workplace, beside: Beside, children: AsyncExitStack) -> None:
        self._place = place
        self._beside = beside
        self._children = children
        self._child: Child | None = None

    async def end_of(self, taken: TakenStage) -> StageEnd:
        """How the stage ended: by what an earlier run with the same inputs gave, or by the child's work."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            spec = recorded_spec(taken.spec)
        except Permanent as err:  # declared under older rules
            problem = f"the model file is not valid any more; declare it again: {err}"
            return StageEnd(0.0, ending=Ending("refused", problem))
        if taken.stage == "record":
            return StageEnd(0.0, done=Done("record"))
        policy = policy_of(spec, taken.stage)
        with self._beside.late_after(policy.service_level):
            limit, out_of_time = limit_of(spec, policy, taken)
            end = await self._found_or_done(taken, spec, limit.total_seconds() + begun)
        if end.ending is not None and end.ending.kind == "timed_out":
            end = replace(end, ending=out_of_time)
        return replace(end, seconds=clock() - begun)

    async def _found_or_done(self, taken: TakenStage, spec: ModelSpec, deadline: float) -> StageEnd:
        told: Mapping[str, Any] = told_to(taken.job.kind, taken.stage, taken.asked)
        if taken.stage == "get-data":
            end = await self._ask(taken, spec, "survey", told, "", deadline)
            if end.kind != "done":
                return StageEnd(0.0, end.log_tail, ending=ending_of(taken, end))
            told = end.result
        elif (entry := own_python(spec, taken.job.kind, taken.stage)) is not None:
            end = await self._ask(taken, spec, "code", {"entry": entry}, "", deadline)
            if end.kind != "done":
                return StageEnd(0.0, end.log_tail, ending=ending_of(taken, end))
            told = {**told, **end.result}
        key = key_of(taken.stage, to_builtins(spec), told, taken.before)
        if taken.stage not in ALWAYS_RUN and (known := await self._known(taken, key)) is not None:
            return StageEnd(0.0, done=known, key=key, told=told, reused=True)
        end = await self._ask(taken, spec, "stage", told, key, deadline)
        if end.kind != "done" or "lost" in end.result:
            return StageEnd(0.0, end.log_tail, ending=ending_of(taken, end))
        done = Done(taken.stage, end.result["output"], end.result["result"])
        return StageEnd(0.0, end.log_tail, done, key=key, told=told)

    async def _known(self, taken: TakenStage, key: str) -> Done | None:
        async def look() -> Done | None:
            async with self._place.parts.database.begin() as tx:
                return await known_output(tx, taken.job.model, key)

        known = await until_reachable("PostgreSQL", look)
        if known is None:
            return None
        where = key_of_output(taken.job.model, known.output)
        size = await until_reachable("the object store", lambda: asyncio.to_thread(self._place.store.size, where))
        return None if size is None else known

    async def _ask(
        self, taken: TakenStage, spec: ModelSpec, do: str, told: Mapping[str, Any], key: str, deadline: float
    ) -> ChildEnd:
        if self._child is None or self._child.ended:
            memory_mb = self._place.settings.memory_mb
            self._child = await self._children.enter_async_context(opened_child(self._place.child, memory_mb=memory_mb))
        objects = self._place.objects
        order = {
            "do": do,
            "kind": taken.job.kind,
            "stage": taken.stage,
            "request_id": taken.job.request_id,
            "spec": to_builtins(spec),
            "until": taken.until,
            "asked_at": taken.asked.get("asked_at", taken.job.created_at),
            "told": told,
            "entry": told.get("entry"),
            "python": self._place.settings.python,
            "before": taken.before,
            "earlier": taken.known if key and taken.known_key == key else None,
            "objects": objects.model_dump() | {"secret_key": objects.secret_key.get_secret_value()},
            "data": self._place.data.model_dump(),
            "max_threads": self._place.settings.max_threads,
        }
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        return await self._child.run(
            order,
            time_limit_s=left_s,
            on_message=lambda message: self._beside.on_message(message, key),
            stop=self._beside.stop,
        )


@asynccontextmanager
async def stage_work(place: Workplace, beside: Beside) -> AsyncIterator[StageWork]:
    """Work within, whose child processes are ended on the way out."""
    async with AsyncExitStack() as children:
        yield StageWork(place, beside, children)
