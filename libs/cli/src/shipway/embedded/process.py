"""Starts a child process that can't outlive its parent, with a log file of its own, and ends it in bounded time."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: the child of a fork must not import or load anything.
_prctl: Any = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


async def spawn(
    argv: Sequence[str],
    log_file: Path,
    env: Mapping[str, str],
    death_signal: signal.Signals = signal.SIGKILL,
    account: str | None = None,
    folder: Path | None = None,
    niceness: int = 0,
) -> asyncio.subprocess.Process:
    """Starts ``argv`` in a process group of its own (Ctrl-C is the parent's to handle), logging to a file.

    In the parent's session: Linux shares cores between sessions first, so ``niceness`` would count within one only, and
    a process with little to do would wait for its turn behind each of those that have much.

    On Linux the kernel sends ``death_signal`` to the child when this process dies, however it dies. Elsewhere
    a child outlives a parent that was killed, and the next supervisor ends it (see state.end_leftovers).

    Args:
        argv: the program, as an absolute path, and its arguments.
        log_file: standard output and error are appended to it.
        env: the whole environment.
        account: the system user to run as; only root can ask for it.
        folder: the working directory.
        niceness: how far it gives way to others on the same cores, 0 to 19.

    Raises:
        OSError: the program can't be started.
    """
    if threading.current_thread() is not threading.main_thread():
        # The death signal comes when the forking *thread* ends.
        raise RuntimeError("children must be started from the main thread")
    as_user: dict[str, Any] = (
        {} if account is None else {"user": account, "group": _group_of(account), "extra_groups": []}
    )
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(env),
            cwd=folder,
            process_group=0,
            preexec_fn=_bound_to_parent(death_signal),
            **as_user,
        )
    if niceness:
        _give_way(process.pid, niceness)
    return process


async def end(process: asyncio.subprocess.Process, ask: signal.Signals, within_s: float) -> int:
    """Asks a child to end, kills it if it has not after ``within_s``, and gives its exit code (negative: signal).

    What it started itself and left in its process group is killed too.
    """
    with suppress(ProcessLookupError):
        process.send_signal(ask)
        # One that is paused would never see the other signal.
        process.send_signal(signal.SIGCONT)
    try:
        code = await asyncio.wait_for(process.wait(), within_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        code = await process.wait()
    kill_group(process.pid)
    return code


def _give_way(pid: int, niceness: int) -> None:
    with suppress(ProcessLookupError):  # it has ended
        os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, pid) + niceness))


def kill_group(pid: int) -> None:
    """Kills what is left of the process group that ``pid`` led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def last_lines(log_file: Path, lines: int = 8) -> str:
    """The end of a log, for messages; empty when there is none."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - 8192))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _bound_to_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    parent, number = os.getpid(), int(death_signal)

    def bind() -> None:
        # After the change of user, which would clear it. The parent may have died before: then nobody will tell.
        _prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return bind


def _group_of(account: str) -> int:
    import pwd

    return pwd.getpwnam(account).pw_gid
