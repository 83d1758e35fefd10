"""Several processes of one service on one port, each whole: the kernel spreads new connections (SO_REUSEPORT).

A worker opens the port once it is ready, and not before, so that no client meets one that still starts. Until then the
parent answers there, for their health, and refuses the rest; to the first that is ready it gives its socket, with
whoever waits in it, as closing it would reset them. A worker that ends is started again, ever later. Metrics are those
of all workers together, of ended ones too (prometheus_client's multiprocess mode), whichever of them is asked.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from prometheus_client import multiprocess

from shipway.runtime import log
from shipway.runtime.early import refusing
from shipway.runtime.http import Problem
from shipway.runtime.ops import Readiness, add_ops_routes
from shipway.runtime.quiet import QuietServer
from shipway.runtime.settings import HttpSettings

_log = log.get(__name__)
_NUMBER, _PARENT_FD, _METRICS = "SHIPWAY_WORKER", "SHIPWAY_WORKER_PARENT_FD", "PROMETHEUS_MULTIPROC_DIR"
_PR_SET_PDEATHSIG = 1
_WRONG_SETTINGS = 2
BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 30.0
STOP_WITHIN_S = 27.0
LEAVE_WITHIN_S = 5.0
"""What a client that the parent has let in has for its request, once a worker answers."""


def worker() -> int | None:
    """Which worker this process is; None where it is the only one."""
    number = os.environ.get(_NUMBER, "")
    return int(number) if number.isdigit() else None


def begin_worker() -> None:
    """What a worker does first: it ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def listening_socket(http: HttpSettings) -> socket.socket:
    """What a worker that is ready answers on: the parent's own socket where it is the first, or else one beside others.

    Raises:
        OSError: the port is somebody else's.
    """
    with socket.socket(fileno=int(os.environ[_PARENT_FD])) as parent:
        parent.setblocking(True)
        parent.send(b"\n")
        _, given, _, _ = await asyncio.to_thread(socket.recv_fds, parent, 1, 1)
    return socket.socket(fileno=given[0]) if given else shared_socket(http)


def shared_socket(http: HttpSettings) -> socket.socket:
    """A socket on the service's port, which others may have too.

    Raises:
        OSError: the port is somebody else's.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in http.host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((http.host, http.port))
    listening.listen(1024)
    return listening


class Workers:
    """Runs ``python -m module`` several times, until SIGTERM or SIGINT. ``starting`` refuses what comes too early."""

    def __init__(self, module: str, count: int, http: HttpSettings, starting: Callable[[], Problem]) -> None:
        self._module = module
        self._count = count
        self._http = http
        self._starting = starting
        self._stopping = asyncio.Event()
        self._left = asyncio.Event()
        self._listening: socket.socket | None = None
        self._code = 0

    async def run(self) -> int:
        """Runs them; gives the exit code. One that refuses its settings ends them all: it would again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        with tempfile.TemporaryDirectory(prefix="shipway-metrics-") as self._metrics:
            waiting = asyncio.create_task(self._answer_until_open())
            await asyncio.gather(*(self._keep(index) for index in range(self._count)))
            self._left.set()
            await waiting
        return self._code

    async def _keep(self, index: int) -> None:
        """Keeps one worker running."""
        failures = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            code = await self._one(index)
            if self._stopping.is_set():
                return
            if code == _WRONG_SETTINGS:
                self._code = code
                self._stopping.set()
                return
            failures = 0 if time.monotonic() - begun > STEADY_S else failures + 1
            pause_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            _log.error("worker ended; it is started again", worker=index, code=code, pause_s=pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _one(self, index: int) -> int:
        """One life of a worker; its exit code. At the stop it is asked to end, and made to."""
        ours, theirs = socket.socketpair()
        mine = {_NUMBER: str(index), _PARENT_FD: str(theirs.fileno()), _METRICS: self._metrics}
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, env={**os.environ, **mine}, pass_fds=(theirs.fileno(),)
            )
        asyncio.get_running_loop().add_reader(ours, self._hand_over, ours)
        ended, stopping = asyncio.create_task(process.wait()), asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            process.terminate()
            await asyncio.wait({ended}, timeout=STOP_WITHIN_S)
        if not ended.done():
            _log.error("worker did not stop in time; ending it", worker=index, limit_s=STOP_WITHIN_S)
            process.kill()
        code = await ended
        multiprocess.mark_process_dead(process.pid, self._metrics)  # type: ignore[no-untyped-call]
        return code

    def _hand_over(self, worker: socket.socket) -> None:
        """A worker is ready, or has ended: the first that is ready gets the parent's socket."""
        asyncio.get_running_loop().remove_reader(worker)
        with worker, suppress(OSError):
            if worker.recv(1):
                if self._listening is None:
                    worker.send(b"\n")
                else:
                    socket.send_fds(worker, [b"\n"], [self._listening.fileno()])
                    self._listening = None
                    self._left.set()

    async def _answer_until_open(self) -> None:
        """Answers for the workers' health on their port, and refuses the rest, until one of them answers."""
        health = FastAPI(openapi_url=None)
        readiness = Readiness()
        readiness.report("start", "the workers start")
        add_ops_routes(health, readiness)
        app = refusing(health, self._starting)
        # The next request of a client is for a worker.
        closing = [("connection", "close")]
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="off", headers=closing
        )
        server = QuietServer(config)
        try:
            self._listening = listening = shared_socket(self._http)
        except OSError as err:
            _log.error("can't listen; set HTTP__HOST and HTTP__PORT", port=self._http.port, reason=str(err))
            self._code = _WRONG_SETTINGS
            self._stopping.set()
            return
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await self._left.wait()
        for accepting in server.servers:
            accepting.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._stopping.is_set() else LEAVE_WITHIN_S):
                while server.server_state.connections:
                    await asyncio.sleep(0.02)
        server.should_exit = True
        await serving
