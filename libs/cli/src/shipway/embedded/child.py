"""One process under supervision: started, watched until it is ready, started again when it ends unasked."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import httpx

from shipway.contract.errors import Permanent, Transient
from shipway.embedded import broker, postgres
from shipway.embedded.process import end, kill_group, last_lines, spawn
from shipway.embedded.restarts import History, ended, hopeless
from shipway.embedded.stack import ProcessSpec, StackPlan
from shipway.runtime import log

State = Literal["waiting", "starting", "ready", "restarting", "failed", "stopped"]
_log = log.get(__name__)
_PROBE_EVERY_S = 0.05


@dataclass(frozen=True)
class Restart:
    """A process ended unasked. ``exit_code`` is negative for a signal."""

    at: datetime
    exit_code: int
    delay_s: float


class Child:
    """A process of the plan and what became of it. ``changed`` is called at every change of ``state``."""

    def __init__(self, plan: StackPlan, spec: ProcessSpec, changed: Callable[["Child"], None]) -> None:
        self.spec = spec
        self.state: State = "stopped"
        self.restarts: list[Restart] = []
        self.problem: str | None = None
        self._plan = plan
        self._changed = changed
        self._history = History()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._account: str | None = None

    @property
    def pid(self) -> int | None:
        """The running process's pid."""
        return self._process.pid if self._process is not None else None

    @property
    def hopeless(self) -> bool:
        """Whether it makes no sense to wait for it."""
        if self.state == "failed":
            return True
        return bool(self.restarts) and self.state != "ready" and hopeless(self._history, self.restarts[-1].exit_code)

    def why(self) -> str:
        """Why it is not ready, with the end of its log when it ended."""
        if self.restarts and self.state != "starting":
            file = self._plan.log_file(self.spec.name)
            return f"it ended with {self.restarts[-1].exit_code}; see {file}:\n{last_lines(file)}"
        return self.problem or self.state

    def start(self, needs: Callable[[], Awaitable[None]] | None = None) -> None:
        """Starts it, when ``needs`` are met, and keeps it running from then on."""
        if self._task is None:
            self._history, self.problem = History(), None
            self._task = asyncio.create_task(self._run(needs), name=self.spec.name)
            self._task.add_done_callback(self._run_over)

    def kill(self, number: signal.Signals) -> None:
        """Sends a signal to the process.

        Raises:
            Transient: it does not run now.
        """
        if self._process is None or self._process.returncode is not None:
            raise Transient(f"{self.spec.name} does not run now: {self.state}")
        self._process.send_signal(number)

    async def stop(self) -> None:
        """Ends it and keeps it ended: asks first, and kills it when the deadline is over."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        process = self._process
        if process is not None:
            code = await end(process, self.spec.stop_signal, self.spec.stop_within_s)
            _log.info("stopped", process=self.spec.name, exit_code=code)
            self._process = None
        self._become("stopped")

    async def wipe(self) -> None:
        """Removes its data; it must be stopped."""
        if self.spec.folder is not None:
            await asyncio.to_thread(shutil.rmtree, self.spec.folder, ignore_errors=True)

    async def _run(self, needs: Callable[[], Awaitable[None]] | None) -> None:
        try:
            if needs is not None:
                self._become("waiting")
                await needs()
            while True:
                delay_s = await self._one_run()
                await asyncio.sleep(delay_s)
        except (Permanent, OSError) as err:
            # Starting it again would not help: a missing program, a wrong password.
            self.problem = str(err)
            if self._process is not None:
                await end(self._process, self.spec.stop_signal, self.spec.stop_within_s)
                self._process = None
            self._become("failed")
            _log.error("can't be run", process=self.spec.name, reason=self.problem)

    def _run_over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            _log.error("supervising stopped because of a bug", process=self.spec.name, exc_info=bug)
            self.problem = f"a bug in the supervisor: {bug!r}"
            self._become("failed")

    async def _one_run(self) -> float:
        """One run of the process, to its unasked end; gives the delay before the next in seconds."""
        spec = self.spec
        self._become("starting")
        log_file = self._plan.log_file(spec.name)
        if spec.kind == "postgres" and spec.folder is not None:
            self._account = await postgres.initialise(spec.folder, self._plan.secret, log_file, self._plan.durable)
        self._process = process = await spawn(
            spec.argv,
            log_file,
            {**os.environ, **spec.env},
            spec.death_signal,
            self._account,
            niceness=spec.niceness,
        )
        started = time.monotonic()
        self._become("starting")
        code = await self._watch(process)
        kill_group(process.pid)
        self._process = None
        self._history, delay_s = ended(self._history, time.monotonic() - started)
        self.restarts.append(Restart(datetime.now(UTC), code, delay_s))
        _log.warning("ended unasked; starts again", process=spec.name, exit_code=code, delay_s=delay_s)
        self._become("restarting")
        return delay_s

    async def _watch(self, process: asyncio.subprocess.Process) -> int:
        """Waits for readiness, then for the end; gives the exit code."""
        over = asyncio.create_task(process.wait())
        probing = asyncio.create_task(self._until_ready())
        try:
            await asyncio.wait({over, probing}, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                probing.result()
                self._history = replace(self._history, was_ready=True)
                self._become("ready")
            return await over
        finally:
            for task in (over, probing):
                task.cancel()
            await asyncio.gather(over, probing, return_exceptions=True)

    async def _until_ready(self) -> None:
        async with httpx.AsyncClient(timeout=2) as client:
            while True:
                try:
                    await self._probe(client)
                except Transient as err:
                    self.problem = str(err)
                    await asyncio.sleep(_PROBE_EVERY_S)
                else:
                    self.problem = None
                    return

    async def _probe(self, client: httpx.AsyncClient) -> None:
        spec = self.spec
        if spec.kind == "postgres" and spec.port is not None:
            await postgres.probe(spec.port, self._plan.secret)
        elif spec.kind == "broker" and spec.port is not None:
            await broker.probe(spec.port)
        elif spec.url is not None:
            try:
                response = await client.get(f"{spec.url}/readyz")
            except httpx.HTTPError as err:
                raise Transient(f"{spec.url}: {err or type(err).__name__}") from err
            if response.status_code != 200:
                raise Transient(f"{spec.url}/readyz says {response.status_code}: {response.text[:500]}")

    def _become(self, state: State) -> None:
        self.state = state
        self._changed(self)
