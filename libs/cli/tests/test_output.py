"""What the command prints is shown as it is: no text of a service, a file or a person is read as markup."""

import re
from pathlib import Path

import pytest

from shipway.cli import release, status
from shipway.cli.output import bad, console, line, table
from shipway.contract.events import CommandAnswered

HOSTILE = "[/red] [bold]x[/bold] [link=file:///etc]y"
STYLE = re.compile(r"\[/?(red|green|yellow|bold|dim)\]")


@pytest.mark.parametrize("done", [True, False])
def test_an_answer_is_shown_as_it_is(capsys: pytest.CaptureFixture[str], done: bool) -> None:
    answered = CommandAnswered(
        model="flights",
        command_id="c",
        action="freeze",
        version=None,
        requested_by=HOSTILE,
        done=done,
        answer=f"it was {HOSTILE}",
    )
    release.show(answered)
    printed = capsys.readouterr()
    assert (printed.out if done else printed.err) == f"{'done' if done else 'refused'}: it was {HOSTILE}\n"


def test_a_table_shows_its_cells_and_its_title_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    shown = table(HOSTILE, "why")
    shown.add_row(HOSTILE)
    shown.add_row(bad(HOSTILE))
    console.print(shown, line(bad("failed"), f": {HOSTILE}"))
    assert capsys.readouterr().out.count(HOSTILE) == 4


def test_the_status_shows_names_and_reasons_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    service = {"name": "monitor", "ready": False, "url": "http://m", "reasons": {"watch": HOSTILE}}
    version = {"model": HOSTILE, "version": 3, "state": "failed"}
    status.show(
        {
            "services": [service],
            "overview": {"models": [{"name": HOSTILE, "champion": 3}]},
            "instances": {"instances": [{"instance": HOSTILE, "url": "", "versions": [version]}]},
        }
    )
    assert capsys.readouterr().out.count(HOSTILE) == 4


def test_no_command_writes_markup() -> None:
    sources = Path(status.__file__).parent.glob("*.py")
    assert {path.name for path in sources if STYLE.search(path.read_text(encoding="utf-8"))} == set()
