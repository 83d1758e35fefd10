"""One measurement: wrk against a target, with so many connections, for so long."""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from targets import Rows, Target

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Figure:
    """What was measured. Latencies in milliseconds, ``cpu_us`` the target's CPU time for a request."""

    per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    memory_mb: float = math.nan
    cpu_us: float = math.nan


def wrk() -> str:
    """Where wrk is.

    Raises:
        SystemExit: nowhere; says what to install.
    """
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("bench: wrk is missing; install it: apt-get install wrk, or brew install wrk")
    return found


def measure(
    target: Target, rows: Rows, connections: int, seconds: int, folder: Path, paths: Sequence[str] = ()
) -> Figure:
    """Asks for the same rows, again and again, on every connection; at ``paths`` in turn where there are some."""
    script = folder / "post.lua"
    script.write_text(script_of(target.body(rows), paths))
    before = target.cpu_s()
    said = subprocess.run(
        [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), target.url],
        capture_output=True,
        text=True,
        check=True,
    )
    if "syntax" in said.stderr:
        raise RuntimeError(f"wrk: {said.stderr}")
    found = parse(said.stdout)
    cpu_us = 1e6 * (target.cpu_s() - before) / max(1.0, found.per_s * seconds)
    return replace(found, memory_mb=target.memory_mb(), cpu_us=cpu_us)


def script_of(body: object, paths: Sequence[str] = ()) -> str:
    """What makes wrk post a body, at the URL's path or at these in turn."""
    head = f"wrk.method='POST'\nwrk.body=[==[{json.dumps(body)}]==]\nwrk.headers['content-type']='application/json'\n"
    if not paths:
        return head
    listed = ",".join(f"'{path}'" for path in paths)
    return f"""{head}
local paths, asked, at = {{{listed}}}, {{}}, 0
function init() for i, path in ipairs(paths) do asked[i] = wrk.format(nil, path) end end
function request() at = at % #asked + 1; return asked[at] end
"""


def counts(said: str) -> tuple[int, int]:
    """Answers and failures in what wrk prints."""
    answers = re.search(r"(\d+) requests in", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    errors = int(refused[1]) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    assert answers is not None, said
    return int(answers[1]), errors


def parse(said: str) -> Figure:
    """The figures in what wrk prints."""
    quantiles = dict(re.findall(r"^\s+(50|99)%\s+(\S+)$", said, re.MULTILINE))
    _, errors = counts(said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return Figure(float(rate[1]), _ms(quantiles.get("50", "")), _ms(quantiles.get("99", "")), errors)


def _ms(text: str) -> float:
    """Milliseconds; NaN where nothing was answered."""
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    return float(found[1]) * _UNITS[found[2]] if found else math.nan
