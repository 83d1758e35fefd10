"""The topology for people: who tells whom what, as a Mermaid drawing and as a table."""

from collections.abc import Sequence

from shipway.contract.topics import SERVICES, Topic


def drawing(topics: Sequence[Topic]) -> str:
    """The drawing of these topics, and the table behind it."""
    lines = ["```mermaid", "flowchart LR"]
    lines += [f"  {name}([{name}])" for name in ("client", *SERVICES)]
    for topic in topics:
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
    lines += [_row(topic) for topic in topics]
    lines += ["", "Each consuming service also has `shipway.dead-letters.<service>` for what it refused.", ""]
    return "\n".join(lines)


def _row(topic: Topic) -> str:
    names = ", ".join(t.__name__ for t in topic.types) or "Arrow batches"
    written = ", ".join(topic.producers)
    return f"| `{topic.name}` | {names} | {topic.key} | {written} | {readers(topic)} | {kept(topic)} |"


def readers(topic: Topic) -> str:
    """Who reads a topic, and how where it is not by a consumer group."""
    tables, tails = [f"{t} (table)" for t in topic.tables], [f"{t} (newest)" for t in topic.tails]
    return ", ".join((*topic.consumers, *tables, *tails))


def kept(topic: Topic) -> str:
    """How long a topic keeps what it is told."""
    return "last of each key" if topic.retention_h is None else f"{topic.retention_h} h"
