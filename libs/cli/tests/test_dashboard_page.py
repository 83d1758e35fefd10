"""What the command line can do is in the browser, or docs/dashboard.md says why not."""

import re
from pathlib import Path

from shipway.cli.commands import COMMANDS

PAGE = Path(__file__).parents[3] / "docs" / "dashboard.md"


def test_every_command_is_in_the_browser_or_is_said_not_to_be() -> None:
    _, _, commands = PAGE.read_text(encoding="utf-8").partition("| `shipway` | in the browser |")
    there, _, after = commands.partition("Not in the browser, on purpose:")
    elsewhere = after.partition("\n\nWhere the monitor asks")[0]
    firsts = "\n".join(line.split("|")[1] for line in there.splitlines() if line.startswith("| `"))
    shown = set(re.findall(r"`([a-z-]+)", firsts))
    named = set(re.findall(r"`(?:shipway )?([a-z-]+)", elsewhere))
    assert shown > {"train", "cancel", "freeze", "alerts", "dead-letters"}
    assert set(COMMANDS) - shown - named == set(), "decide, and say it in docs/dashboard.md"
