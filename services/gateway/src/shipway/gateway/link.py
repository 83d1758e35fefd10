"""A connection to one predictor over the rows protocol: calls go out as they come, answers come back by id.

While calls are under way, the predictor is never silent for long: where no answer comes, a ping is sent, which costs it
nothing, and is answered also while a slow model works. One that does not answer that hangs, and its connection ends;
so a model that is slow takes nobody out, and a process that is stopped is found before its callers run out of time.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import cast

from shipway.contract.errors import InvalidField
from shipway.contract.rows import Answer, Ask, Frames, frame, read_answer

MAX_ANSWER_BYTES = 64_000_000
CONNECT_WITHIN_S = 2.0
_LAST_LOOK_S = 0.01
# A version that nobody has: every predictor, of older releases too, says so at once.
_PING = frame(Ask(0, "", 0, "", 0, 1, 1, bytes(16), bytes(16), None, b""))


class LinkLost(Exception):  # noqa: N818
    """The connection is gone, or was never there; whether the call was executed is not known."""


class NotSent(LinkLost):
    """The call was never sent: it was certainly not executed."""


Done = Callable[[Answer | LinkLost], None]


class Link(asyncio.Protocol):
    """One connection. Make it with ``connect``; it is of no more use once ``lost``."""

    def __init__(self, silence_s: float) -> None:
        self.lost = False
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._warnings = 0
        self._watching: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._frames = Frames(MAX_ANSWER_BYTES)
        self._calls: dict[int, Done] = {}
        self._ids = count(1)

    @classmethod
    async def connect(cls, address: str, silence_s: float) -> "Link":
        """A link to host:port, which is lost when it has said nothing for ``silence_s`` while it was asked.

        Raises:
            NotSent: nobody answers there.
        """
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: cls(silence_s), host.strip("[]"), int(port)
                )
        except (OSError, ValueError, TimeoutError) as err:
            raise NotSent(f"{address}: {err or type(err).__name__}") from err
        return link

    def next_id(self) -> int:
        """An id for a call."""
        return next(self._ids)

    def call(self, ask: Ask, done: Done) -> None:
        """Sends an ask; ``done`` gets its answer, or why there will be none, once, unless the call is given up."""
        if self.lost or self._transport is None:
            done(NotSent("the connection is closed"))
            return
        if self._watching is None:
            self._since, self._warnings = self._loop.time(), 0
            self._watching = self._loop.call_later(self._silence_s / 2, self._watch)
        self._calls[ask.id] = done
        self._transport.write(frame(ask))

    def _watch(self) -> None:
        self._watching = None
        if self.lost or self._transport is None or not self._calls:
            return
        now = self._loop.time()
        if now >= self._since + self._patience_s():
            if self._warnings == 2:
                self.close(f"it said nothing for {1000 * self._silence_s:.0f} ms")
                return
            self._warnings += 1
            self._since = now
            if self._warnings == 1:
                self._transport.write(_PING)
        self._watching = self._loop.call_later(max(0.001, self._since + self._patience_s() - now), self._watch)

    def _patience_s(self) -> float:
        """Until the ping, until it should be answered, and then for what this process itself was too late to read."""
        return self._silence_s / 2 if self._warnings < 2 else _LAST_LOOK_S

    def give_up(self, call_id: int) -> None:
        """Nobody waits for that answer any more."""
        self._calls.pop(call_id, None)

    def close(self, why: str) -> None:
        """Ends the connection and every call on it."""
        if not self.lost:
            self.lost = True
            if self._watching is not None:
                self._watching.cancel()
            if self._transport is not None:
                self._transport.abort()
            calls, self._calls = self._calls, {}
            for done in calls.values():
                done(LinkLost(why))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._since, self._warnings = self._loop.time(), 0
        try:
            for body in self._frames.feed(data):
                answer = read_answer(body)
                done = self._calls.pop(answer.id, None)
                if done is not None:
                    done(answer)
        except InvalidField as err:
            self.close(f"what it says is no answer: {err}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.close(f"the connection was lost: {exc}" if exc else "the connection was closed")
