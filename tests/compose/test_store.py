"""The store of docker-compose.yml holds the contract that every object store is held to."""

import asyncio
import os
import secrets
import sys
from pathlib import Path

import pytest
from containers import images
from testcontainers.core.container import DockerContainer

from shipway.embedded.ports import HOST, choose_ports

CONTRACT = Path(__file__).parent.parent.parent / "libs" / "common" / "tests" / "test_objects.py"


@pytest.mark.timeout(120)
async def test_the_contract_holds() -> None:
    secret, port = secrets.token_hex(8), choose_ports(["objects"], usual={})["objects"]
    container = (
        DockerContainer(images()["objects"])
        .with_bind_ports(9000, port)
        .with_envs(MINIO_ROOT_USER="shipway", MINIO_ROOT_PASSWORD=secret)
        .with_command("server /data")
    )
    with container:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-v", str(CONTRACT)),
            env=dict(os.environ, SHIPWAY_TEST_S3=f"http://shipway:{secret}@{HOST}:{port}"),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert said.decode().count(f"[{HOST}:{port}") > 5, "the server was really asked"
