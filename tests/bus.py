"""A real broker that tests may kill and wipe, and waits that end."""

import asyncio
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shipway.contract.errors import Transient
from shipway.embedded import broker
from shipway.runtime.kafka import probe
from shipway.runtime.settings import KafkaSettings


class Broker:
    """The embedded broker, as a process of the test's own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        self._folder = folder
        self._command = broker.command(folder, port)
        self._process: subprocess.Popen[bytes] | None = None
        self.settings = KafkaSettings(bootstrap=f"127.0.0.1:{port}", idle_fetch_pause_ms=10, beat_s=0.3)

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._run()
        for _ in range(200):
            try:
                return await probe(self.settings)
            except Transient:
                await asyncio.sleep(0.02)
        pytest.fail("the broker did not start")

    def _run(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def pause(self) -> None:
        """It answers nothing, and its connections stay, until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Goes on after ``pause``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill_and_wipe(self) -> None:
        """SIGKILL, and all its data is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder)


@asynccontextmanager
async def ends_within(limit_s: float, what: str, seen: object = None) -> AsyncIterator[None]:
    """Fails with ``what``, and what was ``seen`` by then, where the block takes longer."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        pytest.fail(f"not within {limit_s:g} s: {what}; seen: {str(seen)[:500]}")
