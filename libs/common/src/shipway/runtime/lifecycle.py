"""A service's life: HTTP first (so /livez answers while it waits), then its parts, then a clean stop.

``run_service`` is the whole of a ``__main__``. The body enters its parts as async context managers, spawns
its loops, and awaits ``life.stopped()``; parts leave in reverse order. A loop that ends by an exception is a
bug: it is logged and the process exits with 1, for its supervisor to start it again.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI

from shipway.runtime import log, otel, workers
from shipway.runtime.direct import Direct, serving
from shipway.runtime.http import Asgi, Problem
from shipway.runtime.ops import Readiness, add_ops_routes
from shipway.runtime.patience import KEEP_ALIVE_S, PatientServer
from shipway.runtime.redaction import secrets_of
from shipway.runtime.settings import HttpSettings, ServiceSettings

_log = log.get(__name__)
STOP_WITHIN_S = 25.0
# After so long another thread, such as the one that writes the prediction log, lets the event loop go on; Python's own
# five milliseconds are what a request takes altogether.
SWITCH_S = 0.0005
LOOK_EVERY_S = 0.02


class Life:
    """What a service's body is handed: its HTTP app, its readiness, its loops and the stop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.readiness = Readiness()
        self.app = FastAPI(title=f"Shipway {name}", docs_url="/docs", redoc_url=None)
        add_ops_routes(self.app, self.readiness)
        self.asgi: Asgi = self.app
        self.direct: Direct | None = None
        self._stop = asyncio.Event()
        self._loops: set[asyncio.Task[None]] = set()
        self._bug: BaseException | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def ready(self) -> None:
        """Says that the start is over; readiness is now up to the checks."""
        self.readiness.report("start", None)
        # What lives as long as the process is not looked at again: full collections stop everything for 100 ms.
        gc.collect()
        gc.freeze()
        _log.info("started")

    def spawn(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        """Runs a loop until the stop; its end before that is a bug."""
        task = asyncio.create_task(loop, name=name)
        self._loops.add(task)
        task.add_done_callback(self._loop_ended)

    def fail(self, bug: BaseException) -> None:
        """Stops the service loudly."""
        if self._bug is None:
            self._bug = bug
            _log.error("stopping because of a bug", exc_info=bug)
        self._stop.set()

    def stop(self) -> None:
        """Asks for a clean stop."""
        self._stop.set()

    async def stopped(self) -> None:
        """Returns when the service is to stop; readiness says so from then on."""
        await self._stop.wait()
        self.readiness.report("stop", "stopping")

    async def stop_serving(self) -> None:
        """Takes no more requests and finishes those under way; called at the end of its own accord."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.shield(self._serving)

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        self._loops.discard(task)
        if not task.cancelled() and not self._stop.is_set():
            self.fail(task.exception() or RuntimeError(f"the loop {task.get_name()!r} ended"))

    async def _cancel_loops(self) -> None:
        for _ in range(5):
            for task in self._loops:
                task.cancel()
            if self._loops:  # again where a library lost the cancellation
                await asyncio.wait(set(self._loops), timeout=1)
        if self._loops:
            _log.error("loops did not end", loops=[task.get_name() for task in self._loops])


Body = Callable[[Life], Awaitable[None]]


def run_workers(
    name: str, settings: ServiceSettings, module: str, count: int, starting: Callable[[], Problem]
) -> NoReturn:
    """Runs a service's module in several workers on its port, until SIGTERM or SIGINT; ``starting`` refuses what comes
    before one of them is ready.
    """
    log.configure(settings.log, name, secrets_of(settings))
    with asyncio.Runner() as runner:
        code = runner.run(workers.Workers(module, count, settings.http, starting).run())
    sys.exit(code)


def run_service(name: str, settings: ServiceSettings, body: Body) -> NoReturn:
    """Runs a service until SIGTERM or SIGINT; exits 0 after a clean stop, 1 after a bug."""
    log.configure(settings.log, name, secrets_of(settings))
    sys.setswitchinterval(SWITCH_S)
    runner = asyncio.Runner(loop_factory=_loop_factory())
    with otel.exporting(settings.tracing, name), runner:
        code = runner.run(_run(name, settings.http, body))
    sys.exit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for this platform
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _run(name: str, http: HttpSettings, body: Body) -> int:
    life = Life(name)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.stop)
    server = PatientServer(
        uvicorn.Config(
            lambda scope, receive, send: life.asgi(scope, receive, send),
            http=serving(lambda: life.direct, http),
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            interface="asgi3",
            timeout_graceful_shutdown=10,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
    )
    life._server = server
    opening: asyncio.Task[None] | None = None
    if workers.worker() is None:
        life._serving = asyncio.create_task(server.serve(sockets=[_listen(http)]))
    else:
        opening = asyncio.create_task(_open_when_ready(life, server, http))
    main = asyncio.create_task(_guarded(life, body))
    stopping = asyncio.create_task(life.stopped())
    await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
    try:
        await asyncio.wait_for(asyncio.shield(main), STOP_WITHIN_S)
    except TimeoutError:
        _log.error("did not stop in time; ending anyway", limit_s=STOP_WITHIN_S)
        main.cancel()
    if opening is not None:
        opening.cancel()
    await life._cancel_loops()
    await life.stop_serving()
    _log.info("stopped")
    return 1 if life._bug is not None else 0


async def _guarded(life: Life, body: Body) -> None:
    """The body, ended by the stop also while it still waits for its parts."""
    work = asyncio.ensure_future(body(life))
    stop = asyncio.ensure_future(life.stopped())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done() and "start" in life.readiness.problems():
        work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        pass
    except Exception as bug:  # noqa: BLE001  the end of the line: logged, and the process exits with 1
        life.fail(bug)
    life.stop()


async def _open_when_ready(life: Life, server: PatientServer, http: HttpSettings) -> None:
    """A worker's way to the port: its clients are sent to it by the kernel from the moment on that it listens."""
    while life.readiness.problems():
        await asyncio.sleep(LOOK_EVERY_S)
    life._serving = asyncio.create_task(server.serve(sockets=[await workers.listening_socket(http)]))


def _listen(http: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((http.host, http.port))
    except OSError as err:
        _log.error("can't listen; set HTTP__HOST and HTTP__PORT", host=http.host, port=http.port, reason=str(err))
        raise SystemExit(2) from None
    listening.listen(1024)
    return listening
