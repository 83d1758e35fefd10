"""Requests for one version on one instance, merged into calls by what is waiting.

No timer: what came within one turn of the event loop goes together, at once; what comes while calls are under way
waits, and goes together in the next. So one connection waits for nothing, and a request costs less as load rises.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from shipway.contract import rows
from shipway.contract.rows import Answer, Ask
from shipway.gateway.items import Item, Refused
from shipway.gateway.link import Link, LinkLost, NotSent

MAX_ROWS = 1024
MAX_BYTES = 4_000_000
CALLS_AT_ONCE = 2
"""The second call travels while the first is scored."""


class Call:
    """A batch under way on a link."""

    __slots__ = ("batch", "id", "link", "until")

    def __init__(self, batch: list[Item], link: Link) -> None:
        self.batch = batch
        self.link = link
        self.id = link.next_id()
        self.until = max([item.until for item in batch])


class Lane:
    """The way of one version's requests to one instance.

    ``link`` is the instance's connection where there is one; ``connect`` makes it, and raises NotSent.
    """

    def __init__(
        self, model: str, version: int, link: Callable[[], Link | None], connect: Callable[[], Awaitable[Link]]
    ) -> None:
        self._model = model
        self._version = version
        self._link = link
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Item] = deque()
        self._under_way: set[Call] = set()
        self._going = False
        self._connecting: asyncio.Task[None] | None = None
        self._watching: asyncio.TimerHandle | None = None

    def put(self, item: Item) -> None:
        """Takes a request; it is settled by scores, LinkLost, TimeoutError or Refused."""
        self._waiting.append(item)
        if not self._going and len(self._under_way) < CALLS_AT_ONCE:
            self._going = True
            self._loop.call_soon(self._go)

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is under way."""
        return not self._waiting and not self._under_way

    def fail(self, why: str) -> None:
        """Ends everything that waits or is under way; the requests go elsewhere."""
        waiting, self._waiting = self._waiting, deque()
        for call in list(self._under_way):
            self._end(call)
            _settle(call.batch, LinkLost("the instance was taken out"))
        _settle(waiting, NotSent(why))

    def _go(self) -> None:
        self._going = False
        while self._waiting and len(self._under_way) < CALLS_AT_ONCE and self._connecting is None:
            link = self._link()
            if link is None:
                self._connecting = self._loop.create_task(self._until_connected())
                return
            batch = self._next_batch()
            if batch:
                self._send(Call(batch, link))

    async def _until_connected(self) -> None:
        try:
            await self._connect()
        except LinkLost as err:
            waiting, self._waiting = self._waiting, deque()
            _settle(waiting, err)
        finally:
            self._connecting = None
        self._go()

    def _next_batch(self) -> list[Item]:
        """The next requests, as many as fit; without those that nobody waits for, or whose time is over."""
        batch: list[Item] = []
        now = self._loop.time()
        count = size = 0
        waiting = self._waiting
        while waiting:
            item = waiting[0]
            if item.over or item.until <= now:
                # Out of time by waiting its turn: an overload, and no sign that the instance hangs.
                waiting.popleft().settle(Refused(rows.LATE, "too many requests wait before it"))
                continue
            count, size = count + item.rows, size + len(item.values)
            # Role and generation are those of the whole call.
            apart = batch and (item.alone or batch[0].alone or item.generation != batch[0].generation)
            if batch and (apart or count > MAX_ROWS or size > MAX_BYTES or item.role != batch[0].role):
                break
            batch.append(waiting.popleft())
        return batch

    def _send(self, call: Call) -> None:
        self._under_way.add(call)
        self._watch(call.until)
        ask = self._ask(call.id, call.batch, call.until - self._loop.time())
        call.link.call(ask, lambda answer: self._answered(call, answer))

    def _watch(self, until: float) -> None:
        """Looks for late calls at that time at the latest. One timer for all, as one made and cancelled takes 3 µs."""
        if self._watching is not None:
            if self._watching.when() <= until:
                return
            self._watching.cancel()
        self._watching = self._loop.call_at(until, self._look)

    def _look(self) -> None:
        self._watching = None
        now = self._loop.time()
        for call in list(self._under_way):
            if call.until <= now:
                self._end(call)
                _settle(call.batch, TimeoutError())
        if self._under_way:
            self._watch(min([call.until for call in self._under_way]))
        self._soon()

    def _end(self, call: Call) -> None:
        self._under_way.discard(call)
        call.link.give_up(call.id)

    def _answered(self, call: Call, answer: Answer | LinkLost) -> None:
        self._end(call)
        if isinstance(answer, LinkLost):
            _settle(call.batch, answer)
        elif answer.status == rows.OK:
            self._scored(call.batch, answer)
        elif len(call.batch) > 1 and answer.status in (rows.WRONG, rows.FAILED):
            # One of them may be poisonous: each alone, so that it fails alone.
            for item in call.batch:
                item.alone = True
            self._waiting.extendleft(reversed(call.batch))
        else:
            _settle(call.batch, Refused(answer.status, answer.detail))
        self._soon()

    def _soon(self) -> None:
        if self._waiting and not self._going:
            self._going = True
            self._loop.call_soon(self._go)

    def _scored(self, batch: list[Item], answer: Answer) -> None:
        width = 8 * answer.outputs
        if len(answer.scores) != width * sum([item.rows for item in batch]):
            _settle(batch, Refused(rows.WRONG, f"gave {len(answer.scores)} bytes of scores, which do not fit the rows"))
            return
        at = 0
        for item in batch:
            end = at + width * item.rows
            item.settle((answer.outputs, answer.scores[at:end]))
            at = end

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
            rows=sum([item.rows for item in batch]),
            prediction_ids=b"".join([item.prediction_ids for item in batch]),
            trace_ids=b"".join([item.trace_id * item.rows for item in batch]),
            client_ids=clients,
            values=b"".join([item.values for item in batch]),
            explain=first.explain,
            beside=b"".join([item.beside for item in batch]),
        )


def _settle(items: Iterable[Item], why: LinkLost | TimeoutError | Refused) -> None:
    for item in items:
        item.settle(why)
