"""The table of commands: each is there with its help, and one does not pay for the others."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from shipway.cli.app import app
from shipway.cli.commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_and_says_what_it_is_for(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "-h"])
    assert shown.exit_code == 0, shown.output
    usage, said, *_ = [line.strip() for line in shown.output.splitlines() if line.strip()]
    assert name in usage and len(said) > 10, shown.output


def test_all_are_listed() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(f" {name} " in shown for name in COMMANDS)


def test_a_wrong_name_is_told_the_right_one() -> None:
    shown = CliRunner().invoke(app, ["predct"])
    assert shown.exit_code == 2 and "Did you mean" in shown.output and "'predict'" in shown.output


def test_what_only_some_need_is_not_imported_by_the_others() -> None:
    heavy = (
        "import sys, shipway.cli.app, shipway.cli.predict; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.split()
    assert "pydantic" in loaded
    assert not {"pyarrow", "numpy", "pandas", "lightgbm", "sqlalchemy", "asyncpg", "fastapi"} & set(loaded)
