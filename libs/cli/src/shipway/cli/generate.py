"""Writes what docs hold that code knows better: event schemas, settings, metrics, REST, the drawing of the topology.

``make docs`` runs it; a test fails when what is committed is not what it would write.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shipway.cli.config import settings_class
from shipway.cli.grafana import dashboard
from shipway.cli.metricnames import metrics_page
from shipway.contract.events import EVENT_TYPES
from shipway.contract.schemas import json_schema
from shipway.contract.spec import FeatureSpec, ModelSpec, Schedule, StagePolicy, format_duration
from shipway.contract.topics import SERVICES, SHARED_TOPICS, Topic
from shipway.gateway.document import gateway_document
from shipway.runtime.settings import describe


def generated(root: Path) -> dict[Path, str]:
    """Every generated file of the repository at ``root``, with its content."""
    files = {
        root / "docs" / "schemas" / f"{name}.json": json.dumps(json_schema(event), indent=2) + "\n"
        for name, event in EVENT_TYPES.items()
    }
    files[root / "docs" / "openapi" / "gateway.json"] = json.dumps(gateway_document(), indent=1) + "\n"
    files[root / "docs" / "settings.md"] = settings_page()
    files[root / "docs" / "metrics.md"] = metrics_page()
    files[root / "deploy" / "grafana" / "dashboards" / "shipway.json"] = json.dumps(dashboard(), indent=1) + "\n"
    files[root / "ARCHITECTURE.md"] = _between(root / "ARCHITECTURE.md", "topology", topology())
    files[root / "docs" / "your-own-model.md"] = _between(root / "docs" / "your-own-model.md", "fields", spec_fields())
    return files


def _between(path: Path, name: str, text: str) -> str:
    """The file's content with ``text`` in the place that is marked with ``name``."""
    content = path.read_text(encoding="utf-8")
    begin = next(line for line in content.splitlines() if line.startswith(f"<!-- {name}: "))
    end = f"<!-- end of {name} -->"
    before, _, rest = content.partition(begin)
    return f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}"


def topology() -> str:
    """The drawing of who tells whom what (Mermaid), and the table behind it."""
    lines = ["```mermaid", "flowchart LR"]
    lines += [f"  {name}([{name}])" for name in ("client", *SERVICES)]
    for topic in SHARED_TOPICS:
        node = topic.name.removeprefix("shipway.").replace("-", "_")
        lines.append(f"  {node}[/{topic.name.removeprefix('shipway.')}/]")
        lines += [f"  {writer} --> {node}" for writer in topic.producers]
        lines += [f"  {node} --> {reader}" for reader in topic.consumers]
        lines += [f"  {node} -.-> {reader}" for reader in (*topic.tables, *topic.tails)]
    lines += [
        "```",
        "",
        "Solid: read in a consumer group. Dotted: read whole, as a table (compacted topics), or its newest part.",
        "",
    ]
    lines += ["| topic | events | key | written by | read by | kept |", "|---|---|---|---|---|---|"]
    lines += [_row(topic) for topic in SHARED_TOPICS]
    lines += ["", "Each consuming service also has `shipway.dead-letters.<service>` for what it refused.", ""]
    return "\n".join(lines)


def _row(topic: Topic) -> str:
    names = ", ".join(t.__name__ for t in topic.types) or "Arrow batches"
    kept = "last of each key" if topic.retention_h is None else f"{topic.retention_h} h"
    tables, tails = [f"{t} (table)" for t in topic.tables], [f"{t} (newest)" for t in topic.tails]
    readers = ", ".join((*topic.consumers, *tables, *tails))
    return f"| `{topic.name}` | {names} | {topic.key} | {', '.join(topic.producers)} | {readers} | {kept} |"


def spec_fields() -> str:
    """The table of the model file's fields."""
    head = "| field | default | what it is |\n|---|---|---|\n"
    return head + "".join(f"| `{name}` | {default} | {text} |\n" for name, default, text in _fields(ModelSpec, ""))


def _fields(section: type[BaseModel], prefix: str) -> list[tuple[str, str, str]]:
    rows = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _fields(field.annotation, f"{prefix}{name}.")
        elif name == "features":
            rows += _fields(FeatureSpec, "features.NAME.")
        elif name == "schedule":
            rows += _fields(Schedule, "schedule.")
        elif name == "stages":
            rows += _fields(StagePolicy, "stages.STAGE.")
        else:
            rows.append((prefix + name, _default(field), field.description or ""))
    return rows


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, timedelta):
        value = format_duration(value)
    return "" if value in (None, "", {}, []) else f"`{json.dumps(value)}`"


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
