"""Runs a plan: starts its processes in order, keeps them running, tells where they are, and ends them in order."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from shipway.contract.errors import Permanent
from shipway.embedded.child import Child, Restart, State
from shipway.embedded.ports import check_port
from shipway.embedded.stack import ProcessSpec, StackPlan
from shipway.embedded.state import (
    RunningProcess,
    StackState,
    born,
    end_leftovers,
    locked,
    read_state,
    remove_state,
    write_state,
)
from shipway.embedded.trimming import trim
from shipway.runtime import log

__all__ = ["NotReady", "Progress", "Restart", "State", "Supervisor", "read_state"]

Progress = Callable[[str, State], None]
"""Hears of every change of a process: its name and its new state."""


_log = log.get(__name__)


class NotReady(Permanent):
    """A process did not become ready; the message says which, why, and where its log is."""


class Supervisor:
    """A running stack. Use it as a context: entered, its processes are being started; left, all have ended.

    It must live in the main thread, because a child is bound to the thread that started it.
    """

    def __init__(self, plan: StackPlan, progress: Progress | None = None) -> None:
        self.plan = plan
        self._progress = progress or (lambda _name, _state: None)
        self._children = {spec.name: Child(plan, spec, self._changed) for spec in plan.processes}
        self._told: dict[str, State] = {}
        self._news = asyncio.Event()
        self._held = ExitStack()
        self._running = False
        self._trimming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop_all()

    async def start(self) -> None:
        """Takes the data folder and starts everything, each when what it comes after is ready. Does not wait for it.

        Raises:
            StackRunning: another supervisor runs on the folder.
            InvalidField: a port of the plan can't be had.
        """
        folder = self.plan.data_folder
        with ExitStack() as taking:
            self._make_folders()
            taking.enter_context(locked(folder))
            for name in await asyncio.to_thread(end_leftovers, folder):
                _log.warning("a killed supervisor left this process; it was ended", process=name)
            for spec in self.plan.processes:
                if spec.port is not None:
                    check_port(spec.name, spec.port)
            self._held = taking.pop_all()
        self._running = True
        for child in self._children.values():
            child.start(self._needs_of(child))
        if any(spec.kind == "broker" for spec in self.plan.processes):
            self._trimming = asyncio.create_task(trim(self.plan.kafka_settings), name="trimming")
        self._write()

    async def wait_ready(self, names: Iterable[str] | None = None, timeout_s: float = 120.0) -> None:
        """Waits until these processes (default: all) are ready.

        Raises:
            NotReady: time is over; or one can't be run, refused its settings, or ended three times before it was ready.
        """
        wanted = [self._child(name) for name in (self._children if names is None else names)]
        try:
            async with asyncio.timeout(timeout_s):
                while missing := [child for child in wanted if child.state != "ready"]:
                    # What something waits for may be what can't be run.
                    for child in self._children.values():
                        if child.hopeless:
                            raise NotReady(f"{child.spec.name} can't be run: {child.why()}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            reasons = "; ".join(f"{child.spec.name}: {child.why()}" for child in missing)
            logs = self.plan.data_folder / "logs"
            raise NotReady(f"not ready after {timeout_s:g} s: {reasons}; the logs are in {logs}") from None

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to a process. When it ends by that, it is started again.

        Raises:
            Transient: it does not run now.
        """
        self._child(name).kill(number)

    async def stop(self, name: str) -> None:
        """Ends a process; it stays ended until ``start_one``."""
        await self._child(name).stop()

    def start_one(self, name: str) -> None:
        """Starts a process that was stopped, at once; nothing happens when it runs."""
        self._child(name).start()

    async def restart(self, name: str, wipe: bool = False) -> None:
        """Stops a process and starts it, without its data when ``wipe``. Does not wait until it is ready."""
        child = self._child(name)
        await child.stop()
        if wipe:
            await child.wipe()
        child.start()

    async def replace(self, spec: ProcessSpec) -> None:
        """Stops the process of that name and starts this one instead of it. Does not wait until it is ready."""
        child = self._child(spec.name)
        await child.stop()
        child.spec = spec
        child.start()

    async def stop_all(self) -> None:
        """Ends everything, each after all that come after it, then removes the state and frees the data folder."""
        if not self._running:
            return
        if self._trimming is not None:
            self._trimming.cancel()
            await asyncio.wait({self._trimming})
        left = dict(self._children)
        while left:
            needed = {name for child in left.values() for name in child.spec.after}
            wave = [name for name in left if name not in needed]
            await asyncio.gather(*(left.pop(name).stop() for name in wave))
        self._running = False
        remove_state(self.plan.data_folder)
        self._held.close()

    def states(self) -> dict[str, State]:
        """Every process's state, by name."""
        return {name: child.state for name, child in self._children.items()}

    def pid(self, name: str) -> int | None:
        """A process's pid; None when it does not run."""
        return self._child(name).pid

    def restarts(self, name: str) -> tuple[Restart, ...]:
        """Every unasked end of a process, in order."""
        return tuple(self._child(name).restarts)

    def state(self) -> StackState:
        """What other programs are told."""
        urls = {child.spec.name: child.spec.url for child in self._children.values()}
        processes = tuple(
            RunningProcess(
                name=name,
                kind=child.spec.kind,
                state=child.state,
                pid=child.pid,
                born=born(child.pid) if child.pid is not None else None,
                port=child.spec.port,
                url=child.spec.url,
                log=self.plan.log_file(name),
                restarts=len(child.restarts),
            )
            for name, child in self._children.items()
        )
        return StackState(
            supervisor_pid=os.getpid(),
            supervisor_born=born(os.getpid()),
            gateway_url=urls.get("gateway"),
            monitor_url=urls.get("monitor"),
            kafka=self.plan.kafka,
            database_url=self.plan.database_url,
            objects_url=self.plan.objects_url,
            processes=processes,
            doorbell=self.plan.doorbell,
        )

    def _make_folders(self) -> None:
        (self.plan.data_folder / "logs").mkdir(parents=True, exist_ok=True)
        objects = urlsplit(self.plan.objects_url)
        if objects.scheme == "file":
            Path(unquote(objects.path)).mkdir(parents=True, exist_ok=True)

    def _child(self, name: str) -> Child:
        return self._children[self.plan.process(name).name]

    def _needs_of(self, child: Child) -> Callable[[], Awaitable[None]] | None:
        """A wait for what ``child`` comes after; only its first start waits, later ones meet what is there."""
        needs = [self._children[name] for name in child.spec.after]
        if not needs:
            return None

        async def met() -> None:
            while any(need.state != "ready" for need in needs):
                self._news.clear()
                await self._news.wait()

        return met

    def _changed(self, child: Child) -> None:
        if self._running:
            self._write()
        self._news.set()
        if self._told.get(child.spec.name) != child.state:
            self._told[child.spec.name] = child.state
            self._progress(child.spec.name, child.state)

    def _write(self) -> None:
        write_state(self.plan.data_folder, self.state())
