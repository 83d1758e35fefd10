"""Answering later: a request is accepted once the results topic has it as pending, and its end goes there too.

So any gateway can be asked for the result. Crash rule: a gateway that ends takes the requests with it that it has not
answered; they stay pending until they are due, and are then told to be lost, to be asked again. One that is stopped
answers what it has first, for as long as it has.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from prometheus_client import Gauge

from shipway.contract.errors import Permanent, Transient
from shipway.contract.events import PredictionResult
from shipway.gateway.results import Results
from shipway.gateway.settings import LaterSettings
from shipway.gateway.several import Question, Several
from shipway.runtime import log
from shipway.runtime.http import Problem
from shipway.runtime.kafka import Producer
from shipway.runtime.waiting import until_reachable

_log = log.get(__name__)
PENDING = Gauge(
    "shipway_gateway_results_pending",
    "Requests that this gateway has accepted and not answered yet.",
    multiprocess_mode="livesum",
)
GRACE = timedelta(seconds=5)
"""From the last model's time limit until a result that has not come is called lost."""


@dataclass
class Later:
    """Takes questions, and answers them on its own time; ``bug`` hears what should not happen."""

    several: Several
    results: Results
    producer: Producer
    settings: LaterSettings
    source: str
    instance: str
    bug: Callable[[BaseException], None]

    def __post_init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    async def accept(self, question: Question, traceparent: bytes | None) -> PredictionResult:
        """Accepts a question: it is on the results topic, and will be answered there.

        Raises:
            Problem: 503, too many are under way, or Kafka is away.
        """
        if len(self._under_way) >= self.settings.pending:
            raise Problem(503, f"{self.settings.pending} requests wait for their answer already", retry_after_s=1)
        now = datetime.now(UTC)
        pending = PredictionResult(
            result_id=uuid.uuid4().hex,
            state="pending",
            models=list(question.models),
            gateway=self.instance,
            requested_at=now,
            due_at=now + timedelta(seconds=max(question.limits_s.values())) + GRACE,
        )
        # Its place is taken before Kafka is waited for, so that what is under way is bounded.
        accepted = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._see_through(pending, question, traceparent, accepted))
        self._under_way.add(task)
        PENDING.set(len(self._under_way))
        task.add_done_callback(self._over)
        try:
            await asyncio.shield(accepted)
        except Transient as err:
            raise Problem(503, f"nothing can be accepted for later now: {err}", retry_after_s=2) from err
        return pending

    async def drain(self, within_s: float) -> None:
        """Answers what is under way; what is not answered in that time is lost."""
        if self._under_way:
            _, late = await asyncio.wait(set(self._under_way), timeout=within_s)
            if late:
                _log.warning("results lost at the stop", lost=len(late))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        PENDING.set(len(self._under_way))
        if not task.cancelled() and (bug := task.exception()) is not None:
            self.bug(bug)

    async def _see_through(
        self,
        pending: PredictionResult,
        question: Question,
        traceparent: bytes | None,
        accepted: "asyncio.Future[None]",
    ) -> None:
        try:
            await self.producer.publish(self.source, pending)
        except Transient as err:
            accepted.set_exception(err)
            return
        self.results.take(pending)
        accepted.set_result(None)
        try:
            answer = await self.several.answer(question, traceparent)
        except Problem as problem:
            result = msgspec.structs.replace(pending, state="failed", problem=problem.document())
        else:
            result = msgspec.structs.replace(pending, state="answered", answer=answer)
        await self._tell(result)

    async def _tell(self, result: PredictionResult) -> None:
        """Puts the end on the topic, for as long as anybody could ask for it; here it is known at once."""
        try:
            async with asyncio.timeout(self.settings.keep_s):
                self.results.take(result)
                await until_reachable("Kafka", lambda: self.producer.publish(self.source, result))
        except Permanent as err:
            problem = Problem(413, f"the answer can't be kept: {err}; ask for fewer rows at a time")
            failed = msgspec.structs.replace(result, state="failed", answer=None, problem=problem.document())
            await self._tell(failed)
        except TimeoutError:
            _log.error("result lost: Kafka was away for too long", result=result.result_id)
