"""Strikes a running Shipway, and lifts what lasts."""

import asyncio
import signal
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil

from chaos.faults import Blow
from chaos.proxy import Mode, Proxy
from chaos.stand import Stand
from shipway.contract.errors import Transient

CONNECTION: dict[str, Mode] = {
    "refused": "refused",
    "black hole": "black hole",
    "slow": "slow",
    "half-open": "half-open",
}
AHEAD_S = {"an hour ahead": 3600, "an hour behind": -3600}


class Injector:
    """Does to a stand what the blows say."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._supervisor = stand.world.supervisor

    def possible(self, blow: Blow) -> bool:
        """Whether this machine can do it."""
        if blow.manner in AHEAD_S:
            return blow.target in self._stand.clocks
        return blow.manner != "full" or self._stand.disk is not None

    async def strike(self, blow: Blow) -> None:
        """The blow falls."""
        if blow.manner in CONNECTION:
            for proxy in self._proxies(blow.target):
                await proxy.set(CONNECTION[blow.manner])
        elif blow.manner in AHEAD_S:
            self._stand.clocks[blow.target].set(AHEAD_S[blow.manner])
        elif blow.manner == "killed":
            with suppress(Transient):  # it is down already
                self._supervisor.kill(blow.target)
        elif blow.manner == "wiped":
            await self._supervisor.restart(blow.target, wipe=True)
        elif blow.manner == "child killed":
            self._signal(self._tree(blow.target)[1:], signal.SIGKILL)
        elif blow.manner == "paused":
            self._signal(self._tree(blow.target), signal.SIGSTOP)
        elif blow.manner == "away":
            self._stand.objects.rename(self._aside)
            self._stand.objects.touch()  # a folder that is a file: every use of it is an error of the system
        elif blow.manner == "full":
            await asyncio.to_thread(_fill, self._filler)

    async def lift(self, blow: Blow) -> None:
        """What lasts is over."""
        if blow.manner in CONNECTION:
            for proxy in self._proxies(blow.target):
                await proxy.set("pass")
        elif blow.manner in AHEAD_S:
            self._stand.clocks[blow.target].set(0)
        elif blow.manner == "paused":
            self._signal(self._tree(blow.target), signal.SIGCONT)
        elif blow.manner == "away":
            self._stand.objects.unlink()
            self._aside.rename(self._stand.objects)
        elif blow.manner == "full":
            self._filler.unlink()

    @property
    def _aside(self) -> Path:
        return self._stand.objects.with_name("objects.aside")

    @property
    def _filler(self) -> Path:
        assert self._stand.disk is not None
        return self._stand.disk / "filler"

    def _proxies(self, target: str) -> list[Proxy]:
        client, _, server = target.partition(">")
        wanted = [name for name in self._stand.proxies if name.endswith(f">{server}")]
        chosen = [self._stand.proxies[name] for name in wanted if client in ("*", name.partition(">")[0])]
        return list(chain.from_iterable(chosen))

    def _tree(self, name: str) -> list[psutil.Process]:
        pid = self._supervisor.pid(name)
        if pid is None:
            return []
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            return [process, *process.children(recursive=True)]
        return []

    def _signal(self, processes: list[psutil.Process], number: signal.Signals) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _fill(file: Path) -> None:
    """Leaves no byte free."""
    with file.open("wb", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(bytes(65_536))
    with file.open("ab", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(bytes(512))
