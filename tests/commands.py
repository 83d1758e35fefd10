"""The ``shipway`` command as a user types it, in a process of its own."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from world import World


async def shipway(world: World | None, *arguments: str, cwd: Path | None = None, expect: int = 0) -> str:
    """Runs the command; gives what it printed."""
    environment = dict(os.environ, COLUMNS="200")
    if world is not None:
        environment |= {"SHIPWAY_DATA": str(world.folder)} | world.store_environment
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shipway.cli",
        *arguments,
        cwd=cwd,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == expect, (out + err).decode()
    assert b"asynchronous generator" not in err, err.decode()
    return out.decode() + (err.decode() if expect else "")


async def read_json(world: World, *arguments: str, **options: Any) -> Any:
    """What the command says in JSON."""
    return json.loads(await shipway(world, *arguments, "--json", **options))
