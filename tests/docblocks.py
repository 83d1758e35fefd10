"""The pages' code blocks: what each says of itself behind its language, and how one is run on a Shipway.

A block of a shell or of Python is one of: ``run``, perhaps with ``exit=N`` and ``shows="text"``; ``file=NAME``, which
is written where the page's commands run; ``test=NAME``, which a test of its own runs; ``not-run="why not"``.
"""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from typer.testing import CliRunner
from world import World

from shipway.cli.app import app

CODE = ("console", "sh", "bash", "shell", "python")
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)(?P<marks>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
# What only a shell understands, or leaves files; anything else is run in this process, which saves its start.
_SHELL = re.compile(r"[|<>$&;`]|^(?!shipway )| --(?:file|out) ")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: the line that it begins on, its language, its marks, its text."""

    page: Path
    line: int
    language: str
    marks: Mapping[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Guide:
    """A page that was followed: where, and what each of its blocks said."""

    folder: Path
    said: list[str]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        marks = dict(part.partition("=")[::2] for part in shlex.split(found["marks"]))
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["language"], marks, found["text"])


def commands(block: Block) -> list[str]:
    """What a person types of a console block: the lines behind ``$``."""
    return re.findall(r"^\$ (.*)$", block.text, re.M)


async def follow(page: Path, world: World, folder: Path, names: Mapping[str, str] | None = None) -> list[str]:
    """Follows a page to the letter in a folder, on a running Shipway; gives what each block said.

    ``names`` has what stands for a word of the page: a model that is there for one that the page speaks of.
    """
    urls = {8080: world.gateway, 8090: world.shipway.addresses.monitor, 8101: world.shipway.addresses.trainer}
    stands = {f"localhost:{port}": url.removeprefix("http://") for port, url in urls.items()} | dict(names or {})
    environment = {
        "SHIPWAY_DATA": str(world.folder),
        "SHIPWAY_GATEWAY_URL": urls[8080],
        "SHIPWAY_MONITOR_URL": urls[8090],
        "SHIPWAY_TRAINER_URL": urls[8101],
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "200",
    } | world.store_environment
    said = []
    for block in blocks(page):
        text = re.sub("|".join(map(re.escape, stands)), lambda found: stands[found[0]], block.text)
        if "file" in block.marks:
            (folder / block.marks["file"]).write_text(text)
        elif "run" in block.marks:
            code, out = await asyncio.to_thread(run, replace(block, text=text), folder, environment)
            assert code == int(block.marks.get("exit", 0)), f"{block} ended with {code}: {out}"
            assert block.marks.get("shows", "") in out, f"{block} said: {out}"
            said.append(out)
    return said


def run(block: Block, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs a block in a folder; gives the exit code of the first command that failed, and all that was said."""
    if block.language == "python":
        return _process([sys.executable, "-c", block.text], folder, environment)
    typed = commands(block)
    files = {file.name for file in folder.iterdir()}
    if any(_SHELL.search(command) or files & set(command.split()) for command in typed):
        return _process(["bash", "-euo", "pipefail", "-c", "\n".join(typed)], folder, environment)
    said = ""
    for command in typed:
        code, out = _here(shlex.split(command)[1:], environment)
        said += out
        if code:
            return code, said
    return 0, said


def _here(arguments: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    answer = CliRunner().invoke(app, arguments, env=dict(environment))
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.exit_code, answer.output


def _process(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    ran = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=90, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr
