"""Writes the generated files below the current folder; with --check only says (exit 1) which would change."""

import sys
from pathlib import Path

from shipway.cli.generate.files import generated


def main() -> None:
    """Writes what is not as it should be, or names it."""
    files = generated(Path.cwd())
    stale = [p for p, text in files.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path} is not what `make docs` writes\n")
        sys.exit(1 if stale else 0)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")


if __name__ == "__main__":
    main()
