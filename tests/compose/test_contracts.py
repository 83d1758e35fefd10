"""The store and the broker of docker-compose.yml hold the contracts that all of their kind are held to."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Containers, containers

TESTS = Path(__file__).parent.parent.parent / "libs" / "common" / "tests"


@pytest.fixture(scope="module")
def parts() -> Iterator[Containers]:
    """The parts of the stack, in containers."""
    with containers() as running:
        yield running


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["objects", "bus"])
async def test_the_contract_holds(parts: Containers, kind: str) -> None:
    objects, kafka = parts.external.objects or {}, parts.external.kafka or ""
    store = objects["ENDPOINT"].replace("://", f"://{objects['ACCESS_KEY']}:{objects['SECRET_KEY']}@")
    asked = {"objects": objects["ENDPOINT"].rpartition("/")[2], "bus": kafka}[kind]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-vv", str(TESTS / f"test_{kind}.py")),
        env=dict(os.environ, SHIPWAY_TEST_S3=store, SHIPWAY_TEST_KAFKA=kafka),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert said.decode().count(f"[{asked}") > 5, "the part was really asked"
