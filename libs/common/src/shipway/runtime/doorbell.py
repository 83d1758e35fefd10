"""By a doorbell, who publishes wakes who reads: for a broker on the same machine that answers an empty fetch at once.

It is a folder with a folder for each topic, in which each process that reads the topic has a named pipe; who published
something writes the topic's name into each of them. A ring may be lost, or come twice: readers look now and then
without one. A pipe that nobody reads any more is removed by who rings.
"""

import asyncio
import os
import stat
import uuid
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import ENXIO
from pathlib import Path
from weakref import WeakKeyDictionary

_AT_ONCE = 65_536
_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, "_Listener"]] = WeakKeyDictionary()


def ring(folder: str, topic: str) -> None:
    """Wakes everyone who listens for the topic. Never waits, and no listener's trouble is the caller's."""
    try:
        pipes = list(Path(folder, topic).iterdir())
    except OSError:  # nobody has ever listened
        return
    for path in pipes:
        _ring_one(path, topic)


def listen(folder: str, topics: Iterable[str], heard: Callable[[], None]) -> None:
    """Has ``heard``, a bound method, called in the running loop at each ring for a topic, while its owner lives.

    Without room for a pipe nothing is heard, and the reader finds everything by its own looks.
    """
    listeners = _listeners.setdefault(asyncio.get_running_loop(), {})
    with suppress(OSError):
        if folder not in listeners:
            listeners[folder] = _Listener(folder)
        for topic in topics:
            listeners[folder].add(topic, heard)


def _ring_one(path: Path, topic: str) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as err:
        if err.errno == ENXIO:  # its reader is gone
            with suppress(OSError):
                path.unlink()
        return
    try:
        if stat.S_ISFIFO(os.fstat(pipe).st_mode):
            os.write(pipe, topic.encode() + b"\n")
    except OSError:  # full: it has rung already
        return
    finally:
        os.close(pipe)


class _Listener:
    """A process's pipe, in the folder of each topic that it listens for."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._heard: dict[str, list[weakref.WeakMethod[Callable[[], None]]]] = {}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Read before it has a name that others ring at: they would take it for one that was left.
        self._path = self._folder / self._name
        os.mkfifo(self._path, 0o600)
        self._pipe = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        self._open = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)  # without a writer it would be at its end
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe, self._read)
        weakref.finalize(loop, _close, self._pipe, self._open)

    def add(self, topic: str, heard: Callable[[], None]) -> None:
        place = self._folder / topic
        if topic not in self._heard:
            place.mkdir(mode=0o700, exist_ok=True)
            os.link(self._path, place / self._name)
        known = [method for method in self._heard.get(topic, ()) if method() is not None]
        self._heard[topic] = [*known, weakref.WeakMethod(heard)]

    def _read(self) -> None:
        try:
            rung = os.read(self._pipe, _AT_ONCE)
        except BlockingIOError:
            return
        for topic in set(rung.decode("utf-8", "replace").split("\n")):
            for method in self._heard.get(topic, ()):
                if (heard := method()) is not None:
                    heard()


def _close(*pipes: int) -> None:
    for pipe in pipes:
        os.close(pipe)
