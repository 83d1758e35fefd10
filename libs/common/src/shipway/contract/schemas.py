"""JSON Schemas of the events, for readers and writers in other languages."""

from typing import Any

import msgspec

from shipway.contract.events import Payload


def json_schema(event: type[Payload]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an event's value. Unknown fields are allowed: events grow."""
    (schema,), parts = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    top = parts.pop(event.__name__, schema)
    result: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{event.type}",
        **top,
        "title": event.type,
    }
    if parts:
        result["$defs"] = parts
    return result
