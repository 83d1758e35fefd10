"""Which files of the repository are made from code, and what is in each."""

import json
from pathlib import Path

from shipway.cli.app import app
from shipway.cli.config import settings_class
from shipway.cli.generate import asyncapi, commands, events, grafana, metrics, rest, settings, spec, topology
from shipway.contract.events import EVENT_TYPES
from shipway.contract.schemas import json_schema
from shipway.contract.spec import ModelSpec
from shipway.contract.topics import SERVICES, SHARED_TOPICS, TOPICS
from shipway.gateway.document import gateway_document
from shipway.monitor.document import monitor_document
from shipway.predictor.document import predictor_document
from shipway.runtime.settings import describe
from shipway.trainer.document import trainer_document

_EXAMPLES = Path("libs", "common", "tests", "golden")


def generated(root: Path) -> dict[Path, str]:
    """Every generated file of the repository at ``root``, with its content."""
    docs = root / "docs"
    documents = {
        "gateway": gateway_document(),
        "predictor": predictor_document(),
        "monitor": monitor_document(),
        "trainer": trainer_document(),
    }
    examples = {name: (root / _EXAMPLES / f"{name}.json").read_text(encoding="utf-8") for name in EVENT_TYPES}
    return {
        **{docs / "schemas" / f"{name}.json": _json(json_schema(event), 2) for name, event in EVENT_TYPES.items()},
        **{docs / "openapi" / f"{service}.json": _json(found, 1) for service, found in documents.items()},
        docs / "asyncapi.json": _json(asyncapi.document({n: json.loads(text) for n, text in examples.items()}), 1),
        docs / "commands.md": commands.page(app),
        docs / "events.md": events.page(TOPICS, EVENT_TYPES, examples),
        docs / "metrics.md": metrics.page(),
        docs / "rest.md": rest.page(documents),
        docs / "settings.md": settings.page({service: describe(settings_class(service)) for service in SERVICES}),
        root / "deploy" / "grafana" / "dashboards" / "shipway.json": _json(grafana.dashboard(), 1),
        root / "ARCHITECTURE.md": _between(root / "ARCHITECTURE.md", "topology", topology.drawing(SHARED_TOPICS)),
        docs / "your-own-model.md": _between(docs / "your-own-model.md", "fields", spec.table(ModelSpec)),
    }


def _json(value: object, indent: int) -> str:
    return json.dumps(value, indent=indent) + "\n"


def _between(path: Path, name: str, text: str) -> str:
    """The file's content with ``text`` in the place that is marked with ``name``."""
    content = path.read_text(encoding="utf-8")
    begin = next(line for line in content.splitlines() if line.startswith(f"<!-- {name}: "))
    end = f"<!-- end of {name} -->"
    before, _, rest_ = content.partition(begin)
    return f"{before}{begin}\n{text}{end}{rest_.partition(end)[2]}"
