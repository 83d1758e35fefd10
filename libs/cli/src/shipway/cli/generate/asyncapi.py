"""The AsyncAPI 3 document of all that goes over Kafka, from the table of topics and the events.

It speaks for Shipway as a whole: what its services ``receive`` others may send, and the other way round. Payloads are
the JSON Schemas beside it. Rules: https://www.asyncapi.com/docs/reference/specification/v3.0.0, and its Kafka bindings.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from shipway.contract.events import EVENT_TYPES, PREDICTION_BATCH, Payload
from shipway.contract.predictionbatch import CONTENT_TYPE
from shipway.contract.topics import TOPICS, Service, Topic
from shipway.contract.versions import RELEASE
from shipway.runtime.provision import configs_of

VERSION = "3.0.0"
_KAFKA = "0.5.0"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 256}
Example = Mapping[str, Any]


def document(examples: Mapping[str, Example]) -> dict[str, Any]:
    """The document; ``examples`` has a message (``headers`` and ``value``) by type of event."""
    messages = {name: _event(event, examples[name]) for name, event in EVENT_TYPES.items()}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Shipway",
            "version": RELEASE,
            "description": "CloudEvents 1.0 in Kafka binary mode: attributes in headers that begin with ce_, JSON in "
            "the value. A type of event only ever gains optional fields, and readers pass over fields that they do not "
            "know; what breaks that is a new type, of the next version in its name.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": dict(pair for topic in TOPICS for pair in _operations(topic)),
        "components": {"messages": messages | {PREDICTION_BATCH: _batch()}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    configs: dict[str, Any] = {"cleanup.policy": ["delete"]}
    for name, value in configs_of(topic).items():
        if name in ("retention.ms", "max.message.bytes"):
            configs[name] = int(value)
        elif name == "cleanup.policy":
            configs[name] = [value]
    kept = "the last value of every key" if topic.retention_h is None else f"everything for {topic.retention_h} h"
    return {
        "address": topic.name,
        "description": f"Keyed by {topic.key}; keeps {kept}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _types(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": configs,
                "bindingVersion": _KAFKA,
            }
        },
    }


def _operations(topic: Topic) -> list[tuple[str, dict[str, Any]]]:
    short = topic.name.removeprefix("shipway.").replace(".", "-")
    of: list[tuple[Service, str, str, str | None]] = [(s, "send", "sends", None) for s in topic.producers]
    of += [(s, "receive", "receives", f"shipway.{s}") for s in topic.consumers]
    of += [(s, "receive", "follows", None) for s in (*topic.tables, *topic.tails)]
    return [
        (f"{s}-{verb}-{short}", _operation(topic, s, action, group)) for s, action, verb, group in of if s != "client"
    ]


def _operation(topic: Topic, service: Service, action: str, group: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{name}"} for name in _types(topic)],
        "tags": [{"name": service}],
    }
    if group is not None:
        group_id = {"type": "string", "const": group}
        found["bindings"] = {"kafka": {"groupId": group_id, "bindingVersion": _KAFKA}}
    return found


def _types(topic: Topic) -> list[str]:
    return [event.type for event in topic.types] or [PREDICTION_BATCH]


def _event(event: type[Payload], example: Example) -> dict[str, Any]:
    said = " ".join((inspect.getdoc(event) or "").partition("\n\n")[0].split())
    return _message(event.type, said, "application/json") | {
        "payload": {"$ref": f"./schemas/{event.type}.json"},
        "examples": [{"headers": dict(example["headers"]), "payload": example["value"]}],
    }


def _batch() -> dict[str, Any]:
    said = "Records of predictions as an Arrow stream; docs/predictions.md has its columns."
    return _message(PREDICTION_BATCH, said, CONTENT_TYPE)


def _message(name: str, said: str, content: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.split(".")[1],
        "summary": said,
        "contentType": content,
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
            "properties": {
                "ce_specversion": {"type": "string", "const": "1.0"},
                "ce_id": _TEXT,
                "ce_source": _TEXT,
                "ce_type": {"type": "string", "const": name},
                "ce_time": {"type": "string", "format": "date-time", "description": "if left out: the message's own"},
                "content-type": {"type": "string", "const": content},
                "traceparent": {"type": "string", "description": "W3C Trace Context"},
            },
        },
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": _KAFKA}},
    }
