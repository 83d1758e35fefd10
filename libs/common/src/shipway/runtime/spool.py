"""Batches of prediction records on their way to Kafka: a bounded queue, on disk where there is a folder for it.

A process has a folder of its own below the root, by a lock. What a process that ended left there is taken over by the
next one of that root, and sent under the same event ids, so that it counts once in effect.
"""

import fcntl
import os
import shutil
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shipway.contract.errors import InvalidField, Permanent
from shipway.runtime import log
from shipway.runtime.batchfile import Batch, blocks, read_batch, write_batch
from shipway.runtime.ledger import Ledger, Version

_log = log.get(__name__)


@dataclass(eq=False)
class Home:
    """A process's folder, by its lock (an open file)."""

    folder: Path
    lock: int
    ledger: Ledger


@dataclass(eq=False)
class Place:
    """A batch's place in the queue: in ``file`` of its ``home``, or in ``batch`` where there was no disk for it."""

    answered: Counter[Version]
    others: int
    size: int
    home: Home | None
    file: Path | None = None
    batch: Batch | None = None

    def read(self) -> Batch:
        """The batch.

        Raises:
            Permanent: the disk no longer has it.
        """
        if self.batch is not None:
            return self.batch
        assert self.file is not None, "a batch is in a file or in memory"
        return read_batch(self.file)

    def settle(self) -> None:
        """Its answers are logged or dropped, for good."""
        # Gone from the disk first: killed between the two, they count as dropped, and not twice as logged.
        if self.file is not None:
            self.file.unlink(missing_ok=True)
        if self.home is not None:
            for version, count in self.answered.items():
                self.home.ledger.settled(version, count)


class Spool:
    """The queue, oldest first; without a root all of it is in memory.

    ``inherited`` are the answers of earlier processes that were neither logged nor dropped; ``lost`` those of them
    that are in no batch, because they were in a process's memory when it was killed. Making one reads the disk; of its
    methods ``write`` alone does, and may run in a thread.
    """

    def __init__(self, root: Path | None, *, max_bytes: int, memory_bytes: int) -> None:
        self._limits = {True: max_bytes, False: memory_bytes}
        self._sizes = {True: 0, False: 0}
        self._queue: deque[Place] = deque()
        self._earlier: list[Home] = []
        self._written = 0
        self._disk_fails = False
        self.answers = 0
        self.inherited: Counter[Version] = Counter()
        self.lost: Counter[Version] = Counter()
        self.home: Home | None = None
        if root is not None:
            try:
                root.mkdir(parents=True, exist_ok=True)
                for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
                    self._take_over(folder)
                self.home = _new_home(root)
            except OSError as err:
                raise InvalidField("PREDICTION_LOG__FOLDER", f"{root}: {err.strerror or err}") from err

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def bytes(self) -> int:
        """What the queue takes, on disk and in memory."""
        return sum(self._sizes.values())

    def write(self, batch: Batch) -> Place:
        """Puts a batch on disk; or in memory, where there is no disk for it. ``push`` is next."""
        answered = Counter({(model, version): count for model, version, count in batch.answered})
        if self.home is not None:
            file = self.home.folder / f"{self._written:012d}.batch"
            self._written += 1
            try:
                size = write_batch(file, batch)
            except OSError as err:
                if not self._disk_fails:
                    _log.error("no disk for prediction records; they stay in memory", file=str(file), reason=str(err))
                self._disk_fails = True
            else:
                self._disk_fails = False
                return Place(answered, batch.others, size, self.home, file=file)
        return Place(answered, batch.others, len(batch.value or b""), self.home, batch=batch)

    def push(self, place: Place) -> None:
        """Takes a batch that was written into the queue."""
        self._queue.append(place)
        self._add(place, 1)

    def oldest(self) -> Place | None:
        """The batch whose turn it is."""
        return self._queue[0] if self._queue else None

    def pop(self, place: Place) -> None:
        """Takes a batch out of the queue; not from the disk."""
        self._queue.remove(place)
        self._add(place, -1)

    def overflow(self, in_hand: Place | None) -> Iterator[Place]:
        """Takes out the oldest, one by one, until the rest fits; not the one that is being sent."""
        for on_disk in (True, False):
            while self._sizes[on_disk] > self._limits[on_disk]:
                found = next((p for p in self._queue if p is not in_hand and (p.file is not None) is on_disk), None)
                if found is None:
                    break
                self.pop(found)
                yield found

    def in_memory(self) -> list[Place]:
        """The batches that no disk has: they end with the process."""
        return [place for place in self._queue if place.file is None]

    def close(self) -> None:
        """Ends; what is on disk stays for the next process."""
        for home in [*self._earlier, *([self.home] if self.home else [])]:
            _leave(home, keep=any(p.home is home and p.file is not None for p in self._queue))
        self._queue.clear()
        self._sizes, self.answers, self.home = {True: 0, False: 0}, 0, None

    def _add(self, place: Place, sign: int) -> None:
        self._sizes[place.file is not None] += sign * place.size
        self.answers += sign * place.answered.total()

    def _take_over(self, folder: Path) -> None:
        home = _opened(folder)
        if home is None:
            return
        places, found = list(_places(home)), Counter[Version]()
        for place in places:
            self.push(place)
            found.update(place.answered)
        unsettled = Counter(home.ledger.unsettled())
        lost = unsettled - found
        self.inherited += unsettled | found
        self.lost += lost
        for version, count in lost.items():
            home.ledger.settled(version, count)
        if places:
            self._earlier.append(home)
        else:
            _leave(home, keep=False)
        if places or lost:
            _log.info("an earlier process's records", batches=len(places), found=found.total(), lost=lost.total())


def _new_home(root: Path) -> Home:
    """A folder that is locked before others can see it."""
    name = uuid.uuid4().hex
    hidden = root / f".{name}"
    hidden.mkdir()
    lock = os.open(hidden / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    home = Home(root / name, lock, Ledger(hidden / "ledger"))
    hidden.rename(home.folder)
    return home


def _opened(folder: Path) -> Home | None:
    """A folder that an earlier process left; None where its process runs."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None  # another process has just cleared it away
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Home(folder, lock, Ledger(folder / "ledger"))


def _places(home: Home) -> Iterator[Place]:
    for file in sorted(home.folder.glob("*.batch")):
        try:
            batch = read_batch(file)
        except Permanent as err:
            _log.error("a batch of prediction records is lost", reason=str(err))
            file.unlink(missing_ok=True)
            continue
        answered = Counter({(model, version): count for model, version, count in batch.answered})
        yield Place(answered, batch.others, blocks(file.stat().st_size), home, file=file)


def _leave(home: Home, keep: bool) -> None:
    home.ledger.close()
    if not keep:
        shutil.rmtree(home.folder, ignore_errors=True)
    os.close(home.lock)
