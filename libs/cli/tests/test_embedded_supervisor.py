"""Supervision of real child processes: readiness, crashes, pauses, order, and the death of the supervisor."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import httpx
import psutil
import pytest

from shipway.contract.errors import InvalidField, Transient
from shipway.embedded.ports import choose_ports
from shipway.embedded.stack import ProcessSpec, StackPlan
from shipway.embedded.state import StackRunning, born, end_leftovers, last_state, read_state
from shipway.embedded.supervisor import NotReady, Supervisor

# A service in small: ready when asked the third time, and it says in a file when it was told to stop.
SERVICE = dedent("""
    import signal, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer
    asked = 0
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            global asked
            asked += 1
            self.send_response(200 if asked > 2 else 503)
            self.end_headers()
            self.wfile.write(b'{"reasons": {"start": "warming up"}}')
    def stop(*_):
        with open(sys.argv[2], "a") as file:
            file.write(sys.argv[3] + " ")
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
""")


def service(folder: Path, name: str, port: int, after: tuple[str, ...] = ()) -> ProcessSpec:
    argv = (sys.executable, "-c", SERVICE, str(port), str(folder / "stops"), name)
    return ProcessSpec(name, argv, after=after, port=port, stop_within_s=5)


def plan_of(folder: Path, *specs: ProcessSpec) -> StackPlan:
    return StackPlan(folder, specs, "127.0.0.1:1", "postgresql://x", (folder / "objects").as_uri())


async def eventually(condition: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == 503
    return False


async def test_starts_in_order_tells_where_it_is_and_stops_in_order(tmp_path: Path) -> None:
    ports = choose_ports(["gateway", "database"], usual={})
    first = service(tmp_path, "database", ports["database"])
    plan = plan_of(tmp_path, first, service(tmp_path, "gateway", ports["gateway"], after=("database",)))
    heard: list[tuple[str, str]] = []
    async with Supervisor(plan, lambda name, state: heard.append((name, state))) as supervisor:
        await supervisor.wait_ready(timeout_s=15)
        state = read_state(tmp_path)
        assert state is not None
        assert state.gateway_url == f"http://127.0.0.1:{ports['gateway']}"
        assert {p.name: p.pid for p in state.processes} == {n: supervisor.pid(n) for n in ("database", "gateway")}
        assert all(p.state == "ready" and p.log.exists() for p in state.processes)
        assert (tmp_path / "objects").is_dir()
        with pytest.raises(StackRunning):
            await Supervisor(plan).start()
    assert heard.index(("database", "ready")) < heard.index(("gateway", "starting"))
    assert (tmp_path / "stops").read_text() == "gateway database "
    assert read_state(tmp_path) is None
    assert not (tmp_path / "stack.json").exists()


async def test_a_crash_a_pause_and_a_stop(tmp_path: Path) -> None:
    (port,) = choose_ports(["gateway"], usual={}).values()
    async with Supervisor(plan_of(tmp_path, service(tmp_path, "gateway", port))) as supervisor:
        await supervisor.wait_ready(timeout_s=15)
        before = supervisor.pid("gateway")
        supervisor.kill("gateway")
        await eventually(lambda: bool(supervisor.restarts("gateway")))
        with pytest.raises(Transient, match="gateway does not run now: restarting"):
            supervisor.kill("gateway")
        await supervisor.wait_ready(timeout_s=15)
        assert supervisor.pid("gateway") != before
        (restart,) = supervisor.restarts("gateway")
        assert restart.exit_code == -signal.SIGKILL
        state = read_state(tmp_path)
        assert state is not None
        assert (state.processes[0].pid, state.processes[0].restarts) == (supervisor.pid("gateway"), 1)

        supervisor.kill("gateway", signal.SIGSTOP)
        async with httpx.AsyncClient(timeout=0.2) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://127.0.0.1:{port}")
        begun = time.monotonic()
        await supervisor.stop("gateway")
        assert time.monotonic() - begun < 4, "a paused process was not woken for its stop"
        assert (tmp_path / "stops").read_text() == "gateway "
        assert supervisor.states() == {"gateway": "stopped"}
        assert supervisor.pid("gateway") is None

        supervisor.start_one("gateway")
        await supervisor.wait_ready(["gateway"], timeout_s=15)
        assert len(supervisor.restarts("gateway")) == 1
        with pytest.raises(InvalidField, match="'gatway' is not one of gateway"):
            supervisor.start_one("gatway")


async def test_who_is_to_give_way_does_and_so_do_its_children(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
    spec = ProcessSpec("modest", (sys.executable, "-c", script), niceness=5)
    async with Supervisor(plan_of(tmp_path, spec)) as supervisor:
        await supervisor.wait_ready(timeout_s=15)
        process = psutil.Process(supervisor.pid("modest"))
        await eventually(lambda: bool(process.children()))
        wanted = min(19, psutil.Process().nice() + 5)
        assert [p.nice() for p in (process, *process.children())] == [wanted, wanted]
        assert os.getsid(process.pid) == os.getsid(0), "of another session it would give way to nobody"


async def test_what_ignores_the_stop_is_killed_with_its_children(tmp_path: Path) -> None:
    script = dedent("""
        import pathlib, signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        pathlib.Path(sys.argv[1]).write_text(str(child.pid))
        signal.pause()
    """)
    pid_file = tmp_path / "pid"
    spec = ProcessSpec("stubborn", (sys.executable, "-c", script, str(pid_file)), stop_within_s=0.3)
    async with Supervisor(plan_of(tmp_path, spec)) as supervisor:
        await supervisor.wait_ready(timeout_s=15)
        await eventually(lambda: pid_file.exists() and pid_file.read_text() != "")
    grandchild = int(pid_file.read_text())
    await eventually(lambda: born(grandchild) is None)


async def test_who_waits_is_told_what_can_not_be_run_and_why(tmp_path: Path) -> None:
    refuses = (sys.executable, "-c", "import sys; sys.exit('shipway: wrong setting: SHIPWAY_X: too small')")
    port = choose_ports(["a"], usual={})["a"]
    plan = plan_of(tmp_path, ProcessSpec("a", refuses, port=port), ProcessSpec("b", ("/no/such/program",)))
    async with Supervisor(plan) as supervisor:
        with pytest.raises(NotReady, match=r"b can't be run: .*No such file"):
            await supervisor.wait_ready(timeout_s=15)
        await supervisor.stop("b")
        with pytest.raises(NotReady, match=r"(?s)a can't be run: it ended with 1; see .*a.log:.*SHIPWAY_X: too small"):
            await supervisor.wait_ready(["a"], timeout_s=15)
        assert [r.delay_s for r in supervisor.restarts("a")] == [0.2, 0.4, 0.8]


async def test_a_wait_ends_with_the_reason_that_the_service_gives(tmp_path: Path) -> None:
    (port,) = choose_ports(["gateway"], usual={}).values()
    never = SERVICE.replace("asked > 2", "False")
    spec = ProcessSpec("gateway", (sys.executable, "-c", never, str(port), str(tmp_path / "stops"), "x"), port=port)
    async with Supervisor(plan_of(tmp_path, spec)) as supervisor:
        await eventually(lambda: answers(port))
        with pytest.raises(
            NotReady, match=r"not ready after 1 s: gateway: .*/readyz says 503: .*warming up.*; the logs are in "
        ):
            await supervisor.wait_ready(timeout_s=1)


async def test_a_port_that_is_in_use_stops_the_start_and_frees_the_folder(tmp_path: Path) -> None:
    (port,) = choose_ports(["gateway"], usual={}).values()
    plan = plan_of(tmp_path, service(tmp_path, "gateway", port))
    async with await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", port):
        with pytest.raises(InvalidField, match=f"--port gateway={port}: the port is in use"):
            await Supervisor(plan).start()
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready(timeout_s=15)


PARENT = dedent("""
    import asyncio, pathlib, sys
    from shipway.embedded.stack import ProcessSpec, StackPlan
    from shipway.embedded.supervisor import Supervisor
    folder = pathlib.Path(sys.argv[1])
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    specs = tuple(ProcessSpec(n, (sys.executable, "-c", script)) for n in ("paused", "stubborn"))
    async def main():
        async with Supervisor(StackPlan(folder, specs, "", "", folder.as_uri())) as supervisor:
            await supervisor.wait_ready()
            await asyncio.Event().wait()
    asyncio.run(main())
""")


async def test_a_killed_supervisor_leaves_nothing_not_even_what_is_paused_or_ignores_signals(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(tmp_path))
    try:
        await eventually(lambda: all(_said_up(tmp_path, name) for name in ("paused", "stubborn")))

        def running() -> dict[str, int]:
            state = read_state(tmp_path)
            return {p.name: p.pid for p in state.processes if p.pid is not None} if state is not None else {}

        await eventually(lambda: len(running()) == 2)
        pids = running()
        os.kill(pids["paused"], signal.SIGSTOP)
    finally:
        parent.kill()
        await parent.wait()
    if sys.platform != "linux":  # there the next start does it
        await asyncio.to_thread(end_leftovers, tmp_path)
    await eventually(lambda: all(born(pid) is None for pid in pids.values()))
    assert read_state(tmp_path) is None


async def test_the_next_supervisor_ends_what_a_killed_one_left(tmp_path: Path) -> None:
    spec = ProcessSpec("odd", (sys.executable, "-c", "import signal; signal.pause()"))
    plan = plan_of(tmp_path, spec)
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready(timeout_s=15)
        written = (tmp_path / "stack.json").read_text()
        state = last_state(tmp_path)
        assert state is not None
    # As if its supervisor had been killed and the process had lived on.
    left = await asyncio.create_subprocess_exec(*spec.argv, start_new_session=True)
    try:
        old = state.processes[0]
        written = written.replace(f'"pid": {old.pid}', f'"pid": {left.pid}')
        (tmp_path / "stack.json").write_text(written.replace(f'"born": "{old.born}"', f'"born": "{born(left.pid)}"'))
        async with Supervisor(plan) as supervisor:
            await supervisor.wait_ready(timeout_s=15)
            assert born(left.pid) is None
    finally:
        with suppress(ProcessLookupError):
            left.kill()
        await left.wait()


def _said_up(folder: Path, name: str) -> bool:
    log = folder / "logs" / f"{name}.log"
    return log.exists() and "up" in log.read_text()
