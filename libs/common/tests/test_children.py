"""Child processes: every way in which one can end is a value, and none is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shipway.runtime.children import ChildEnd, opened_child, run_child


@pytest.fixture(autouse=True)
def _child_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


async def run(do: str, **more: Any) -> ChildEnd:
    arguments = {"time_limit_s": 20.0} | {k: v for k, v in more.items() if k != "say"}
    return await run_child("child_for_tests", {"do": do, "say": more.get("say")}, **arguments)


async def test_the_result_and_the_messages_on_the_way_come_back() -> None:
    messages: list[dict[str, Any]] = []
    end = await run("echo", say="ä" * 1000, on_message=messages.append)
    assert (end.kind, end.result) == ("done", {"you said": "ä" * 1000})
    assert messages == [{"stage": "half"}]
    assert "a library prints" in end.log_tail
    assert "and another" in end.log_tail


@pytest.mark.parametrize(
    ("do", "kind", "reason"),
    [
        ("permanent", "permanent", "never"),
        ("transient", "transient", "not now"),
        ("bug", "crashed", "the process ended with 1: KeyError: 'oops'"),
        ("crash", "crashed", "the process was ended by SIGSEGV"),
    ],
)
async def test_every_end_of_its_own_is_told_apart(do: str, kind: str, reason: str) -> None:
    end = await run(do)
    assert (end.kind, end.reason) == (kind, reason)


async def test_too_much_memory_is_a_crash_of_the_child_alone() -> None:
    assert (await run("eat", memory_mb=1000)).kind == "crashed"


async def test_a_child_that_takes_too_long_is_killed_even_if_it_does_not_listen() -> None:
    pids: list[int] = []
    end = await run("deaf", time_limit_s=4.0, on_message=lambda m: pids.append(m["pid"]))
    assert (end.kind, end.reason) == ("timed_out", "took longer than 4 s")
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


async def test_a_child_is_stopped_on_request() -> None:
    stop = asyncio.Event()
    end = await run("deaf", stop=stop, on_message=lambda _: stop.set())
    assert end.kind == "stopped"


async def test_one_process_works_on_one_order_after_another_also_after_a_refusal() -> None:
    async with opened_child("child_for_tests") as child:
        ends = [await child.run({"do": do, "say": do}, time_limit_s=20) for do in ("count", "permanent", "count")]
        assert [(end.kind, end.result) for end in ends] == [("done", 1), ("permanent", None), ("done", 2)]
        assert ("Permanent: never" in ends[1].log_tail, "never" in ends[2].log_tail) == (True, False)
        crashed = await child.run({"do": "crash"}, time_limit_s=20)
        assert (crashed.kind, child.ended) == ("crashed", True)


def test_a_child_dies_with_its_parent() -> None:
    program = (
        "import asyncio; from shipway.runtime.children import run_child;"
        "asyncio.run(run_child('child_for_tests', {'do': 'deaf'}, time_limit_s=60,"
        " on_message=lambda m: print(m['pid'], flush=True)))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
