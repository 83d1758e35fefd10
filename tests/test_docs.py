"""The security page names tests that are there."""

import re
from pathlib import Path


def test_every_defence_names_a_test_that_is_there(root: Path) -> None:
    page = (root / "docs" / "security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| **")]
    threats = [row for row in rows if row.count("|") == 4][1:]
    assert len(threats) > 20
    for row in threats:
        named = re.findall(r"`([^`]+)`", row.split("|")[3])
        assert named, row
        for name in named:
            assert name.startswith("make ") or (root / name).is_file(), f"{name} is not there: {row}"
