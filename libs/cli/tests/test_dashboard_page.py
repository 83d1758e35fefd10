"""What the command line can do is in the browser, or docs/dashboard.md says why not."""

import re
from pathlib import Path

from shipway.cli.commands import COMMANDS

PAGE = Path(__file__).parents[3] / "docs" / "dashboard.md"
RELEASES = {name for name, entry in COMMANDS.items() if entry.panel == "Releases"}
# As a button, or as a page.
IN_THE_BROWSER = RELEASES | {
    *("train", "search", "import", "cancel", "jobs", "report", "compare", "predictions", "forget", "quality"),
    *("monitoring", "levels", "alerts", "status", "dashboard", "events", "dead-letters"),
}


def test_every_command_is_in_the_browser_or_is_said_not_to_be() -> None:
    assert set(COMMANDS) >= IN_THE_BROWSER
    _, _, after = PAGE.read_text(encoding="utf-8").partition("Not in the browser, on purpose:")
    table = after.partition("\n\nWhere the monitor asks")[0]
    named = set(re.findall(r"`(?:shipway )?([a-z-]+)", table))
    assert set(COMMANDS) - IN_THE_BROWSER - named == set(), "decide, and say it in docs/dashboard.md"
