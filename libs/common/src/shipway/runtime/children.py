"""Long or dangerous work in a child process: orders as JSON lines on its stdin, JSON lines back, ends as values.

The parent calls ``run_child`` for one order, or opens a child for one order after another; the child's ``__main__``
calls ``serve``. A child never outlives its parent, and what any library prints goes to its standard error, whose tail
is kept.
"""

import asyncio
import ctypes
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import msgspec

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.lean import spare_pandas

_PR_SET_PDEATHSIG = 1
_LINE_BYTES = 1_000_000
_TAIL_BYTES = 16_000
_GRACE_S = 3.0
# Ends what an order wrote to standard error: that pipe and the one of results are read side by side.
_MARK = b"\x00\x1eend of order\x1e\x00"
Send = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ChildEnd:
    """How a child's work on an order ended.

    ``done`` has a ``result``; ``permanent`` and ``transient`` are errors that it raised, ``crashed`` any other
    end of its own, ``timed_out`` and ``stopped`` were ordered here. ``reason`` is in words, for all but done.
    """

    kind: Literal["done", "permanent", "transient", "crashed", "timed_out", "stopped"]
    reason: str = ""
    result: Any = None
    log_tail: str = ""


async def run_child(
    module: str,
    order: dict[str, Any],
    *,
    time_limit_s: float,
    on_message: Send = lambda _: None,
    stop: asyncio.Event | None = None,
    memory_mb: int = 0,
) -> ChildEnd:
    """Runs ``python -m module`` on ``order`` until it ends, ``time_limit_s`` is over, or ``stop`` is set.

    ``on_message`` gets what the child sends on the way. ``memory_mb`` bounds its address space (0: unbounded).
    """
    async with opened_child(module, memory_mb=memory_mb) as child:
        return await child.run(order, time_limit_s=time_limit_s, on_message=on_message, stop=stop)


@asynccontextmanager
async def opened_child(module: str, *, memory_mb: int = 0) -> AsyncIterator["Child"]:
    """A child that works on one order after another in one process, which is ended on the way out."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the kernel ends a child with the thread that made it: call this on the main thread")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # OpenMP's threads wait asleep: on shared cores, spinning made a LightGBM training take three times as long.
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
        limit=_LINE_BYTES,
        start_new_session=True,
    )
    child = Child(process, memory_mb)
    try:
        yield child
    finally:
        await child.close()


class Child:
    """A child process; see opened_child. ``ended`` once it takes no order any more."""

    def __init__(self, process: asyncio.subprocess.Process, memory_mb: int) -> None:
        self._process = process
        self._first: dict[str, Any] = {"parent": os.getpid(), "memory_mb": memory_mb}
        self.ended = False

    async def run(
        self,
        order: dict[str, Any],
        *,
        time_limit_s: float,
        on_message: Send = lambda _: None,
        stop: asyncio.Event | None = None,
    ) -> ChildEnd:
        """Has it work on an order, until it is done, ``time_limit_s`` is over, or ``stop`` is set.

        A child that crashed, took too long or was stopped has ended.
        """
        process, tail = self._process, bytearray()
        assert process.stdin and process.stdout and process.stderr and not self.ended
        given, self._first = self._first | {"order": order}, {}
        work = asyncio.gather(
            _give(process.stdin, given), _listen(process.stdout, on_message), _keep_tail(process.stderr, tail)
        )
        stopping = asyncio.ensure_future((stop or asyncio.Event()).wait())
        try:
            waited: set[asyncio.Future[Any]] = {work, stopping}
            await asyncio.wait(waited, timeout=time_limit_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                _, end, _ = work.result()
                if end is None:
                    end = _crash(await process.wait(), tail)
                    self.ended = True
                return _with_tail(end, tail)
            kind: Literal["stopped", "timed_out"] = "stopped" if stopping.done() else "timed_out"
            reason = "stopped" if stopping.done() else f"took longer than {time_limit_s:g} s"
            return _with_tail(ChildEnd(kind, reason), tail)
        finally:
            stopping.cancel()
            if not work.done():
                await self.close()
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work

    async def close(self) -> None:
        """Ends the process, if it has not ended."""
        self.ended = True
        await _finish(self._process)


def serve(work: Callable[[dict[str, Any], Send], Any]) -> NoReturn:
    """The whole of a child's ``__main__``: works on each order, sends its result, ends with the last one."""
    _die_with_parent()
    spare_pandas()
    lines = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # so that a library that prints does not break the lines
    orders = (msgspec.json.decode(line) for line in sys.stdin.buffer)
    given = next(orders)
    if os.getppid() != given["parent"]:
        sys.exit(1)
    if given["memory_mb"]:
        resource.setrlimit(resource.RLIMIT_AS, (given["memory_mb"] * 1_000_000,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def send(message: dict[str, Any]) -> None:
        lines.write(msgspec.json.encode(message) + b"\n")

    while given is not None:
        try:
            send({"end": "done", "result": work(given["order"], send)})
        except (Permanent, Transient) as err:
            traceback.print_exc()
            send({"end": "permanent" if isinstance(err, Permanent) else "transient", "reason": str(err)[:4000]})
        except Exception:  # noqa: BLE001  the end of the line: in the log's tail, and exit code 1
            traceback.print_exc()
            sys.exit(1)
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(2, _MARK)
        given = next(orders, None)
    os._exit(0)  # threads of native libraries have been seen to hang an interpreter's end


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def _give(stdin: asyncio.StreamWriter, given: dict[str, Any]) -> None:
    with suppress(ConnectionError):  # it ended before it read: its exit code says why
        stdin.write(msgspec.json.encode(given) + b"\n")
        await stdin.drain()


async def _listen(stdout: asyncio.StreamReader, on_message: Send) -> ChildEnd | None:
    """The end that the child tells; None where it ends without a word."""
    while line := await stdout.readline():
        message = msgspec.json.decode(line)
        if "end" in message:
            return ChildEnd(message["end"], message.get("reason", ""), message.get("result"))
        on_message(message)
    return None


async def _keep_tail(stderr: asyncio.StreamReader, tail: bytearray) -> None:
    """The last of what an order wrote."""
    while chunk := await stderr.read(_TAIL_BYTES):
        tail += chunk
        if (end := tail.find(_MARK)) >= 0:
            del tail[end:]
            break
        del tail[: -_TAIL_BYTES - len(_MARK)]
    del tail[:-_TAIL_BYTES]


async def _finish(process: asyncio.subprocess.Process) -> None:
    """Ends the child if it has not ended: asked first, then killed."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _GRACE_S)
        except (TimeoutError, asyncio.CancelledError):
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _crash(code: int, tail: bytearray) -> ChildEnd:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return ChildEnd("crashed", f"the process was ended by {name}{hint}")
    lines = tail.decode(errors="replace").strip().splitlines()
    return ChildEnd("crashed", f"the process ended with {code}: {lines[-1][:1000] if lines else 'no message'}")


def _with_tail(end: ChildEnd, tail: bytearray) -> ChildEnd:
    return ChildEnd(end.kind, end.reason, end.result, tail.decode(errors="replace"))
