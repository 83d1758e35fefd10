"""The reference of the events: for each type its topic, who writes and reads it, its fields, and an example."""

import inspect
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import NoneType, UnionType

import msgspec

from shipway.cli.generate.topology import kept, readers
from shipway.contract.events import Payload
from shipway.contract.topics import Topic

_HEAD = """# Events

Made by `make docs` from `shipway.contract`. Every event is a Kafka message in the binary mode of
[CloudEvents 1.0](https://github.com/cloudevents/spec): the headers `ce_id`, `ce_type`, `ce_source`, `ce_time` and
`traceparent`, and JSON as its value. Times are UTC. A type only ever gains optional fields, and readers pass over what
they do not know; what would break a reader is a new type, `.v2`. A consumer sees an event at least once: `ce_id` tells
whether it has had it. An event without `ce_time` is of the time of its message; a signed command must have one.
"""
_WORDS: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    datetime: "time",
    bytes: "bytes, in base64",
    dict: "object",
    typing.Any: "anything",
    NoneType: "null",
}


def page(topics: Sequence[Topic], types: Mapping[str, type[Payload]], examples: Mapping[str, str]) -> str:
    """The page, given the examples of all types as JSON texts of key, headers and value."""
    homes: dict[type, list[Topic]] = {}
    for topic in topics:
        for kind in topic.types:
            homes.setdefault(kind, []).append(topic)
    rows = [f"| [{t.__name__}](#{t.__name__.lower()}) | {_topics(homes[t])} | {_first(t)} |" for t in homes]
    table = "\n".join(["| event | topic | what it says |", "|---|---|---|", *rows])
    sections = [_section(kind, homes[kind], examples[kind.type]) for kind in types.values()]
    parts = [_part(part) for part in dict.fromkeys(part for kind in types.values() for part in _parts(kind))]
    return "\n\n".join([_HEAD.rstrip(), table, *sections, "## Parts of events", *parts]) + "\n"


def _section(kind: type[Payload], homes: Sequence[Topic], example: str) -> str:
    first = homes[0]
    of_all = len(homes) > 1
    facts = [
        f"Type `{kind.type}`, [schema](schemas/{kind.type}.json).",
        f"Topic {_topics(homes)}, key {first.key}, kept {kept(first)}.",
        "Written by the service itself;" if of_all else f"Written by {', '.join(first.producers)};",
        f"read by {readers(first) or 'people'}.",
    ]
    said = json.dumps(json.loads(example)["value"], indent=1)
    return "\n\n".join([f"## {kind.__name__}", _words(kind), " ".join(facts), _fields(kind), f"```json\n{said}\n```"])


def _part(part: type[msgspec.Struct]) -> str:
    return f"### {part.__name__}\n\n{_words(part)}\n\n{_fields(part)}"


def _topics(homes: Sequence[Topic]) -> str:
    return f"`{homes[0].name}`" if len(homes) == 1 else f"`{homes[0].name.rpartition('.')[0]}.<service>`"


def _words(kind: type) -> str:
    return (inspect.getdoc(kind) or "").replace("``", "`")


def _first(kind: type) -> str:
    return _words(kind).split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _fields(kind: type[msgspec.Struct]) -> str:
    hints = typing.get_type_hints(kind)
    rows = [f"| `{f.name}` | {_type(hints[f.name])} | {_default(f)} |" for f in msgspec.structs.fields(kind)]
    return "\n".join(["| field | what it is | where it may be left out |", "|---|---|---|", *rows])


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return ""
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{json.dumps(value)}`"


def _type(hint: object) -> str:
    """A field's type in words; a part of events with a link to its table."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (UnionType, typing.Union):
        return " or ".join(_type(one) for one in inside)
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in inside)
    if origin is list:
        return f"list of {_type(inside[0])}"
    if origin is tuple:
        return f"list of {' and '.join(_type(one) for one in inside)}"
    if origin is dict:
        return "object" if inside[1] is typing.Any else f"object of {_type(inside[1])} by {_type(inside[0])}"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _WORDS[hint]


def _parts(kind: object) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type's fields are made of, not the type itself."""
    hints = typing.get_type_hints(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else {}
    for hint in (*typing.get_args(kind), *hints.values()):
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield hint
        yield from _parts(hint)
