"""The doorbell: who listens for a topic hears each ring for it, and nobody's trouble is the ringer's."""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from shipway.runtime import doorbell


class Ear:
    def __init__(self) -> None:
        self.heard = 0

    def hear(self) -> None:
        self.heard += 1


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.005)


async def test_who_listens_hears_what_is_rung_for_its_topics_and_no_other(tmp_path: Path) -> None:
    folder, one, two = str(tmp_path / "bell"), Ear(), Ear()
    doorbell.listen(folder, ["a", "b"], one.hear)
    doorbell.listen(folder, ["b"], two.hear)
    doorbell.ring(folder, "a")
    await until(lambda: one.heard == 1)
    doorbell.ring(folder, "b")
    await until(lambda: one.heard == 2 and two.heard == 1)
    doorbell.ring(folder, "c")
    doorbell.ring(folder, "b")
    await until(lambda: (one.heard, two.heard) == (3, 2))


async def test_one_that_is_gone_is_not_called(tmp_path: Path) -> None:
    folder, gone, here = str(tmp_path), Ear(), Ear()
    doorbell.listen(folder, ["a"], gone.hear)
    doorbell.listen(folder, ["a"], here.hear)
    del gone
    doorbell.ring(folder, "a")
    await until(lambda: here.heard == 1)


async def test_ringing_never_waits_however_slow_a_listener_is(tmp_path: Path) -> None:
    folder, ear = str(tmp_path), Ear()
    doorbell.listen(folder, ["a" * 200], ear.hear)
    for _ in range(2_000):  # more than a pipe takes
        doorbell.ring(folder, "a" * 200)
    await until(lambda: ear.heard >= 1)


def test_the_pipe_of_a_process_that_was_killed_is_removed_and_rings_go_on(tmp_path: Path) -> None:
    doorbell.ring(str(tmp_path), "a")  # nobody has ever listened
    script = f"""
import asyncio
from shipway.runtime import doorbell
class Ear:
    def hear(self): print("heard", flush=True)
async def main():
    ear = Ear()
    doorbell.listen({str(tmp_path)!r}, ["a"], ear.hear)
    print("listens", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "listens\n"
        doorbell.ring(str(tmp_path), "a")
        assert child.stdout.readline() == "heard\n"
        child.kill()
        child.wait()
    assert len(list((tmp_path / "a").iterdir())) == 1
    doorbell.ring(str(tmp_path), "a")
    assert list((tmp_path / "a").iterdir()) == []


def test_a_file_in_a_pipe_s_place_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("mine")
    doorbell.ring(str(tmp_path), "a")
    assert (tmp_path / "a" / "file").read_text() == "mine"


async def test_without_a_place_for_pipes_nothing_is_heard_and_nothing_breaks(tmp_path: Path) -> None:
    (tmp_path / "bell").write_text("no folder")
    ear = Ear()
    doorbell.listen(str(tmp_path / "bell"), ["a"], ear.hear)
    doorbell.ring(str(tmp_path / "bell"), "a")
    assert ear.heard == 0


def test_the_pipes_of_a_loop_are_closed_with_it(tmp_path: Path) -> None:
    async def listen() -> None:
        doorbell.listen(str(tmp_path), ["a"], Ear().hear)

    before = _open_files()
    for _ in range(20):
        asyncio.run(listen())
    gc.collect()
    assert _open_files() < before + 20


def _open_files() -> int:
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.exists() else 0
