"""Writes what docs hold that code knows better: event schemas, settings reference, the drawing of the topology.

``make docs`` runs it; a test fails when what is committed is not what it would write.
"""

import json
import sys
from pathlib import Path

from shipway.cli.config import settings_class
from shipway.contract.events import EVENT_TYPES
from shipway.contract.schemas import json_schema
from shipway.contract.topics import SERVICES, SHARED_TOPICS, Topic
from shipway.runtime.settings import describe

BEGIN = "<!-- topology: made by `make docs` from shipway.contract.topics -->"
END = "<!-- end of topology -->"


def generated(root: Path) -> dict[Path, str]:
    """Every generated file of the repository at ``root``, with its content."""
    files = {
        root / "docs" / "schemas" / f"{name}.json": json.dumps(json_schema(event), indent=2) + "\n"
        for name, event in EVENT_TYPES.items()
    }
    files[root / "docs" / "settings.md"] = settings_page()
    architecture = root / "ARCHITECTURE.md"
    before, _, rest = architecture.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    files[architecture] = f"{before}{BEGIN}\n{topology()}{END}{after}"
    return files


def topology() -> str:
    """The drawing of who tells whom what (Mermaid), and the table behind it."""
    lines = ["```mermaid", "flowchart LR"]
    lines += [f"  {name}([{name}])" for name in ("client", *SERVICES)]
    for topic in SHARED_TOPICS:
        node = topic.name.removeprefix("shipway.").replace("-", "_")
        lines.append(f"  {node}[/{topic.name.removeprefix('shipway.')}/]")
        lines += [f"  {writer} --> {node}" for writer in topic.producers]
        lines += [f"  {node} --> {reader}" for reader in topic.consumers]
        lines += [f"  {node} -.-> {reader}" for reader in topic.tables]
    lines += ["```", "", "Solid: read in a consumer group. Dotted: read whole, as a table (compacted topics).", ""]
    lines += ["| topic | events | key | written by | read by | kept |", "|---|---|---|---|---|---|"]
    lines += [_row(topic) for topic in SHARED_TOPICS]
    lines += ["", "Each consuming service also has `shipway.dead-letters.<service>` for what it refused.", ""]
    return "\n".join(lines)


def _row(topic: Topic) -> str:
    names = ", ".join(t.__name__ for t in topic.types) or "Arrow batches"
    kept = "last of each key" if topic.retention_h is None else f"{topic.retention_h} h"
    readers = ", ".join((*topic.consumers, *(f"{t} (table)" for t in topic.tables)))
    return f"| `{topic.name}` | {names} | {topic.key} | {', '.join(topic.producers)} | {readers} | {kept} |"


def settings_page() -> str:
    """The settings reference."""
    lines = [
        "# Settings",
        "",
        "Made by `make docs` from the settings classes; `shipway config` shows the same. Every setting is an",
        "environment variable. `SHIPWAY__<SECTION>__<KEY>` is read by every service that lacks its own",
        "`SHIPWAY_<SERVICE>__<SECTION>__<KEY>`. A wrong value stops the start with one line that names it.",
    ]
    for service in SERVICES:
        lines += ["", f"## {service}", "", "| variable | default | what it is |", "|---|---|---|"]
        lines += [f"| `{v}` | `{d}` | {t} |" for v, d, t in describe(settings_class(service))]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the files below the current folder; with --check only says (exit 1) which would change."""
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
