"""``shipway provision``: make the topics, or say which are missing, or what each service must be allowed to do."""

import asyncio
from typing import Annotated, Any

import typer

from shipway.cli.output import console, print_json, table
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses
from shipway.contract.topics import DEAD_LETTERS, TOPICS, Service, Topic
from shipway.runtime.provision import configs_of, missing_topics
from shipway.runtime.provision import provision as make_topics
from shipway.runtime.settings import KafkaSettings

_PARTS: tuple[Service, ...] = ("trainer", "evaluator", "releaser", "predictor", "gateway", "monitor", "client")


def provision(
    check: Annotated[bool, typer.Option("--check", help="change nothing; exit 3 where something is missing")] = False,
    acls: Annotated[bool, typer.Option("--acls", help="list what each service must be allowed to do")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="list the topics with partitions and settings")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Make the topics that Shipway uses, and grow those with too few partitions."""
    settings = addresses(data, kafka=kafka).kafka
    if acls:
        _say([{"service": s, "operation": o, "resource": r} for s, o, r in permissions()], as_json, "permissions")
    elif plan:
        _say([_described(topic, settings) for topic in TOPICS], as_json, "topics")
    elif check:
        missing = asyncio.run(missing_topics(settings))
        if as_json:
            print_json({"missing": missing})
        else:
            console.print("\n".join(missing) if missing else "every topic is there, with partitions enough")
        if missing:
            raise typer.Exit(3)
    else:
        changed = asyncio.run(make_topics(settings))
        if as_json:
            print_json({"changed": changed})
        else:
            console.print(f"made or grown: {', '.join(changed)}" if changed else "every topic is there already")


def permissions() -> list[tuple[str, str, str]]:
    """What each part does on Kafka, by the table of topics, as (service, operation, resource)."""
    found: list[tuple[str, str, str]] = []
    for part in _PARTS:
        for topic in TOPICS:
            if part in topic.producers:
                found.append((part, "Write", f"topic {topic.name}"))
            if part in (*topic.consumers, *topic.tables, *topic.tails):
                found.append((part, "Read", f"topic {topic.name}"))
        if any(part in topic.consumers for topic in TOPICS):
            found.append((part, "Read", f"group shipway.{part}"))
            # The relay reads back what it published, to notice a broker that lost it.
            own = [t.name for t in TOPICS if part in t.producers and part not in t.consumers and part not in t.tables]
            found += [(part, "Read", f"topic {name}") for name in own]
        if part in DEAD_LETTERS and (part, "Write", f"topic {DEAD_LETTERS[part].name}") not in found:
            found.append((part, "Write", f"topic {DEAD_LETTERS[part].name}"))
    return found


def _described(topic: Topic, settings: KafkaSettings) -> dict[str, Any]:
    configs = " ".join(f"{k}={v}" for k, v in configs_of(topic).items())
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "replication": settings.replication_factor,
        "configs": configs,
    }


def _say(rows: list[dict[str, Any]], as_json: bool, title: str) -> None:
    if as_json:
        print_json(rows)
        return
    shown = table(title, *rows[0])
    for row in rows:
        shown.add_row(*map(str, row.values()))
    console.print(shown)
