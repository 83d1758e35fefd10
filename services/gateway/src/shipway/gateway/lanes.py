"""Requests for one version on one instance, merged into calls by what is waiting.

No timer: a request that finds the lane free goes at once, alone; those that come while calls are under way wait, and
go together in the next. So one connection waits for nothing, and the cost of a request falls as load rises.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shipway.contract import rows
from shipway.contract.rows import Answer, Ask
from shipway.gateway.link import Link, LinkLost, NotSent

MAX_ROWS = 1024
MAX_BYTES = 4_000_000
CALLS_AT_ONCE = 2
"""The second call travels while the first is scored."""


class Refused(Exception):  # noqa: N818
    """The instance answered, but not with scores."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(eq=False)
class Item:
    """One request's rows on the way. ``until`` (of loop.time) is how long this instance may take."""

    values: bytes
    rows: int
    prediction_ids: bytes
    trace_id: bytes
    client_ids: list[str] | None
    role: str
    generation: int
    until: float
    scores: "asyncio.Future[tuple[int, bytes]]"
    alone: bool = field(default=False)


class Lane:
    """The way of one version's requests to one instance. ``link`` gives its connection, connecting where needed."""

    def __init__(self, model: str, version: int, link: Callable[[], Any]) -> None:
        self._model = model
        self._version = version
        self._link = link
        self._waiting: deque[Item] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    def put(self, item: Item) -> None:
        """Takes a request; its future gets (outputs a row, scores), or LinkLost, TimeoutError or Refused."""
        self._waiting.append(item)
        if len(self._under_way) < CALLS_AT_ONCE:
            self._go()

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is under way."""
        return not self._waiting and not self._under_way

    def fail(self, why: str) -> None:
        """Ends everything that waits or is under way; the requests go elsewhere."""
        for task in self._under_way:
            task.cancel()
        _fail(self._waiting, NotSent(why))
        self._waiting.clear()

    def _go(self) -> None:
        batch = self._next_batch()
        if batch:
            task = asyncio.create_task(self._call(batch))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if self._waiting:
            self._go()

    def _next_batch(self) -> list[Item]:
        """The next requests, as many as fit; without those that nobody waits for, or whose time is over."""
        batch: list[Item] = []
        now = asyncio.get_running_loop().time()
        count = size = 0
        waiting = self._waiting
        while waiting:
            item = waiting[0]
            if item.scores.done() or item.until <= now:
                # Out of time by waiting its turn: an overload, and no sign that the instance hangs.
                _fail([waiting.popleft()], Refused(rows.LATE, "too many requests wait before it"))
                continue
            count, size = count + item.rows, size + len(item.values)
            # Role and generation are those of the whole call.
            apart = batch and (item.alone or batch[0].alone or item.generation != batch[0].generation)
            if batch and (apart or count > MAX_ROWS or size > MAX_BYTES or item.role != batch[0].role):
                break
            batch.append(waiting.popleft())
        return batch

    async def _call(self, batch: list[Item]) -> None:
        try:
            link: Link = await self._link()
            until = max(item.until for item in batch)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout_at(until):
                answer = await link.call(self._ask(link.next_id(), batch, until - loop.time()))
        except LinkLost as err:
            _fail(batch, err)
        except TimeoutError:
            _fail(batch, TimeoutError())  # the instance is taken out for it, and what waits goes elsewhere
        except asyncio.CancelledError:
            _fail(batch, LinkLost("the instance was taken out"))
        else:
            self._settle(batch, answer)

    def _ask(self, call_id: int, batch: list[Item], left_s: float) -> Ask:
        first = batch[0]
        clients: list[str | None] | None = None
        if any(item.client_ids for item in batch):
            clients = []
            for item in batch:
                clients += item.client_ids or [None] * item.rows
        return Ask(
            id=call_id,
            model=self._model,
            version=self._version,
            role=first.role,
            generation=first.generation,
            budget_ms=max(1, int(left_s * 1000)),
            rows=sum(item.rows for item in batch),
            prediction_ids=b"".join([item.prediction_ids for item in batch]),
            trace_ids=b"".join([item.trace_id * item.rows for item in batch]),
            client_ids=clients,
            values=b"".join([item.values for item in batch]),
        )

    def _settle(self, batch: list[Item], answer: Answer) -> None:
        if answer.status != rows.OK:
            if len(batch) > 1 and answer.status in (rows.WRONG, rows.FAILED):
                # One of them may be poisonous: each alone, so that it fails alone.
                for item in batch:
                    item.alone = True
                self._waiting.extendleft(reversed(batch))
            else:
                _fail(batch, Refused(answer.status, answer.detail))
            return
        width = 8 * answer.outputs
        if len(answer.scores) != width * sum(item.rows for item in batch):
            _fail(batch, Refused(rows.WRONG, f"gave {len(answer.scores)} bytes of scores, which do not fit the rows"))
            return
        at = 0
        for item in batch:
            end = at + width * item.rows
            if not item.scores.done():
                item.scores.set_result((answer.outputs, answer.scores[at:end]))
            at = end


def _fail(items: "deque[Item] | list[Item]", why: Exception) -> None:
    for item in items:
        if not item.scores.done():
            item.scores.set_exception(why)
