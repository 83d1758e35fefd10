"""``shipway dashboard`` says where it is."""

import json

import pytest
from typer.testing import CliRunner

from shipway.cli.app import app


@pytest.mark.parametrize("given", ["http://monitor:8090", "http://monitor:8090/"])
def test_it_is_at_the_monitor(given: str) -> None:
    run = CliRunner().invoke(app, ["dashboard", "--monitor", given])
    assert (run.exit_code, run.stdout.strip()) == (0, "http://monitor:8090/dashboard")
    run = CliRunner().invoke(app, ["dashboard", "--monitor", given, "--json"])
    assert json.loads(run.stdout) == {"url": "http://monitor:8090/dashboard"}
