"""The inner hop's end: answers gateways' asks over the rows protocol; small ones at once, large ones in a thread."""

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import numpy as np

from shipway.bundle.capi import LightGBMError
from shipway.contract import rows
from shipway.contract.errors import InvalidField
from shipway.contract.latency import bucket
from shipway.contract.rows import Answer, Ask, Frames, Matrix
from shipway.predictor.distance import distances
from shipway.predictor.held import Serving, Versions
from shipway.predictor.record import Recorder
from shipway.predictor.threads import ScoringThreads
from shipway.runtime import log

_log = log.get(__name__)
SHADOW = "shadow"
INLINE_ROWS = 64
"""Rows that are scored on the event loop: some 0.3 ms; a thread's hand-over costs more than it would free."""


class RowServer:
    """Answers asks. ``connected`` makes the protocol of a connection, for ``loop.create_server``."""

    def __init__(self, versions: Versions, recorder: Recorder, threads: ScoringThreads) -> None:
        self._versions = versions
        self._recorder = recorder
        self._threads = threads
        self._under_way: set[asyncio.Task[None]] = set()
        self._for_shadows = asyncio.Semaphore(1)

    def connected(self) -> "Connection":
        """The protocol of a new connection."""
        return Connection(self.answer, self._versions.limits.body_bytes)

    async def drain(self) -> None:
        """Waits for asks in threads."""
        if self._under_way:
            await asyncio.wait(set(self._under_way))

    def answer(self, body: bytes, reply: Callable[[Answer], None]) -> None:
        """Answers the ask in a frame's body by ``reply``, now or soon.

        Raises:
            InvalidField: it is no ask.
        """
        begun = time.perf_counter()
        ask = rows.read_ask(body)
        serving = self._versions.serving.get((ask.model, ask.version))
        if serving is None:
            return reply(Answer(ask.id, rows.NOT_LOADED, "this instance does not hold that model and version"))
        if ask.rows > self._versions.limits.rows:
            return reply(Answer(ask.id, rows.WRONG, f"{ask.rows} rows; the limit is {self._versions.limits.rows}"))
        try:
            wanted = rows.matrix(ask, serving.loaded.scorer.features)
        except InvalidField as err:
            return reply(Answer(ask.id, rows.WRONG, str(err)))
        if ask.explain and ask.rows > serving.loaded.scorer.explainable_rows:
            most = serving.loaded.scorer.explainable_rows
            return reply(Answer(ask.id, rows.TOO_MUCH, f"explain: of this model {most} rows can be explained at once"))
        # Whoever waits for an answer does not wait for a shadow's; one row is no wait, and its time is compared.
        inline = 1 if ask.role == SHADOW else INLINE_ROWS
        if ask.rows <= inline and not ask.explain and serving.loaded.scorer.is_quick(ask.rows):
            return reply(self._scored(serving, ask, wanted, begun))
        task = asyncio.create_task(self._in_thread(serving, ask, wanted, begun, reply))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return None

    def _scored(self, serving: Serving, ask: Ask, wanted: Matrix, begun: float) -> Answer:
        try:
            scores = serving.loaded.scorer.score(wanted)
        except LightGBMError as err:
            return self._failed(serving, ask, err)
        return self._recorded(serving, ask, wanted, scores, begun, begun)

    async def _in_thread(
        self, serving: Serving, ask: Ask, wanted: Matrix, begun: float, reply: Callable[[Answer], None]
    ) -> None:
        scorer = serving.loaded.scorer
        score = scorer.explained if ask.explain else scorer.score
        turn = begun

        def scored(part: Matrix) -> Matrix | None:
            # Where it is late already, who asked does not wait any more, and others do.
            nonlocal turn
            turn = time.perf_counter()
            return None if _is_late(ask, begun) else score(part)

        divide = ask.role != SHADOW and not ask.explain and not scorer.is_quick(ask.rows // 2)

        try:
            async with self._for_shadows if ask.role == SHADOW else nullcontext():
                scores = await self._threads.score((ask.model, ask.version), wanted, scored, divide=divide)
        except LightGBMError as err:
            reply(self._failed(serving, ask, err))
        else:
            reply(
                _late(serving, ask, begun)
                if scores is None
                else self._recorded(serving, ask, wanted, scores, begun, turn)
            )

    def _recorded(
        self, serving: Serving, ask: Ask, wanted: Matrix, scores: Matrix, begun: float, turn: float
    ) -> Answer:
        if _is_late(ask, begun):
            if ask.role == SHADOW and _is_late(ask, turn):
                serving.errors += ask.rows  # by itself, not for want of a turn: a client would have got nothing
            return _late(serving, ask, begun)
        self._recorder.answered(
            serving,
            wanted,
            scores[:, : serving.loaded.scorer.outputs],
            prediction_ids=ask.prediction_ids,
            trace_ids=ask.trace_ids,
            client_ids=ask.client_ids,
            role=ask.role,
            generation=ask.generation,
            begun=begun,
        )
        if ask.role == SHADOW:
            _compare(serving, ask, scores)
        return Answer(ask.id, rows.OK, "", scores.shape[1], scores.astype("<f8", copy=False).tobytes())

    def _failed(self, serving: Serving, ask: Ask, err: LightGBMError) -> Answer:
        serving.errors += ask.rows
        return Answer(ask.id, rows.FAILED, f"LightGBM says: {err}")


class Connection(asyncio.Protocol):
    """A gateway's connection. What can't be understood ends it, and nothing else."""

    def __init__(self, answer: Callable[[bytes, Callable[[Answer], None]], None], max_bytes: int) -> None:
        self._answer = answer
        self._frames = Frames(max_bytes)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        assert self._transport is not None
        try:
            for body in self._frames.feed(data):
                self._answer(body, self._reply)
        except InvalidField as err:
            _log.warning("connection ended", reason=str(err))
            self._transport.close()

    def _reply(self, answer: Answer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(rows.frame(answer))


def _is_late(ask: Ask, begun: float) -> bool:
    return (time.perf_counter() - begun) * 1000 > ask.budget_ms


def _late(serving: Serving, ask: Ask, begun: float) -> Answer:
    if ask.rows == 1:
        # Too late for whoever asked: slow, however it is counted.
        serving.latency[bucket(1e6 * (time.perf_counter() - begun))] += 1
    return Answer(ask.id, rows.LATE, "the deadline passed while the rows were scored")


def _compare(serving: Serving, ask: Ask, scores: Matrix) -> None:
    """Counts how far a shadow's scores lie from the champion's."""
    if len(ask.beside) == 8 * scores.size:
        beside = np.frombuffer(ask.beside, "<f8").reshape(scores.shape)
        traces = np.frombuffer(ask.trace_ids, np.dtype((np.void, rows.ID_BYTES)))
        serving.distance_sum += float(distances(serving.loaded.signature.output, scores, beside, traces).sum())
        serving.compared += ask.rows
