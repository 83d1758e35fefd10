"""The AsyncAPI document is valid, whole, and says what the table of topics says."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shipway.contract.events import EVENT_TYPES, PREDICTION_BATCH
from shipway.contract.topics import TOPICS

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "asyncapi.json"
SPECS = ROOT / ".asyncapi" / "node_modules" / "@asyncapi" / "specs" / "schemas"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return found


@pytest.fixture(scope="module")
def specification() -> jsonschema.Draft7Validator:
    """What AsyncAPI's own JSON Schema says of a document of version 3.0.0."""
    path = SPECS / "3.0.0-without-$id.json"
    if not path.exists():
        missing = "AsyncAPI's schema is not installed: npm's package @asyncapi/specs, by `make asyncapi`"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return jsonschema.Draft7Validator(json.loads(path.read_text()))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_it_is_valid_and_what_is_not_is_found(
    document: dict[str, Any], specification: jsonschema.Draft7Validator
) -> None:
    assert [error.message for error in specification.iter_errors(document)] == []
    for wrong in (
        {"operations": {"a": {"action": "publish"}}},
        {"channels": {"a": {"adress": "a"}}},
        {"asyncapi": "9"},
    ):
        assert not specification.is_valid(document | wrong)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > len(EVENT_TYPES)
    for reference in found:
        path, _, inner = reference.partition("#")
        value = json.loads((DOCUMENT.parent / path).read_text()) if path else document
        for part in filter(None, inner.split("/")):
            value = value[part]
        assert value, reference


def test_it_says_what_the_table_says(document: dict[str, Any]) -> None:
    assert set(document["components"]["messages"]) == {*EVENT_TYPES, PREDICTION_BATCH}
    assert set(document["channels"]) == {topic.name for topic in TOPICS}
    said: set[tuple[str, str, str]] = set()
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        (tag,) = operation["tags"]
        said.add((tag["name"], operation["action"], channel))
        carried = {name.rpartition("/")[2] for (name,) in (m.values() for m in operation["messages"])}
        assert carried == set(document["channels"][channel]["messages"])
    for topic in TOPICS:
        wanted = {(s, "send", topic.name) for s in topic.producers}
        wanted |= {(s, "receive", topic.name) for s in (*topic.consumers, *topic.tables, *topic.tails)}
        assert {x for x in said if x[2] == topic.name} == {x for x in wanted if x[0] != "client"}
        bindings = document["channels"][topic.name]["bindings"]["kafka"]
        assert bindings["partitions"] == topic.partitions


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_its_examples_are_what_it_says(document: dict[str, Any], name: str) -> None:
    message = document["components"]["messages"][name]
    (example,) = message["examples"]
    jsonschema.validate(example["headers"], message["headers"])
    schema = json.loads((DOCUMENT.parent / message["payload"]["$ref"]).read_text())
    jsonschema.validate(example["payload"], schema)
    assert message["summary"].endswith(".")
