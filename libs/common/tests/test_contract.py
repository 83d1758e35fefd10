"""The contract: golden events, CloudEvents by their own SDK, topics, and what hostile messages meet."""

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract import events
from shipway.contract.envelope import Envelope, decode, encode
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.events import EVENT_TYPES
from shipway.contract.schemas import json_schema
from shipway.contract.topics import SERVICES, TOPICS, topic_of
from shipway.contract.versions import RELEASE, NewerType

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.json"))


def golden(name: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    raw = json.loads((GOLDEN / f"{name}.json").read_text())
    return json.dumps(raw["value"]).encode(), [(k, v.encode()) for k, v in raw["headers"].items()]


def test_every_type_has_a_golden_example() -> None:
    assert {f.stem for f in FILES} == set(EVENT_TYPES)


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_golden_events_are_read_and_written_unchanged(name: str) -> None:
    raw = json.loads((GOLDEN / f"{name}.json").read_text())
    event = decode(*golden(name))
    message = encode(event)
    assert json.loads(message.value or b"") == raw["value"]
    assert {k: v.decode() for k, v in message.headers} == raw["headers"]
    assert (message.key.decode() if message.key else None) == raw["key"]


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_golden_events_fit_their_schema_and_topic(name: str) -> None:
    raw = json.loads((GOLDEN / f"{name}.json").read_text())["value"]
    jsonschema.validate(raw, json_schema(EVENT_TYPES[name]))
    assert topic_of(decode(*golden(name)).payload).types


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_the_cloudevents_sdk_reads_our_events(name: str) -> None:
    value, headers = golden(name)
    theirs = from_binary_event(KafkaMessage(headers=dict(headers), key=b"k", value=value))
    ours = decode(value, headers)
    assert (theirs.get_id(), theirs.get_source(), theirs.get_type()) == (ours.id, ours.source, name)
    assert theirs.get_time() == ours.time


def grown(value: Any) -> Any:
    """The value with a new field, also in its parts (but not in free mappings, which have no fields)."""
    if isinstance(value, list):
        return [grown(item) for item in value]
    if not isinstance(value, dict):
        return value
    free = (
        "spec",
        "signature",
        "release",
        "prediction_log",
        "metrics",
        "champion_metrics",
        "set_aside_rows",
        "generations",
        "library_versions",
        "values",
        "answer",
        "problem",
        "figures",
        "params",
        "files",
        "retirement",
        *("answered_by", "left_out", "logged", "replayed", "routed"),
    )
    return {k: v if k in free else grown(v) for k, v in value.items()} | {"a_field_of_tomorrow": 1}


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_unknown_fields_are_ignored(name: str) -> None:
    value, headers = golden(name)
    assert decode(json.dumps(grown(json.loads(value))).encode(), headers) == decode(value, headers)


@pytest.mark.parametrize(
    "name",
    ["shipway.TrainingRequested.v2", "shipway.PredictionBatch.v2", "shipway.ModelExplained.v1", "shipway.X.v9999"],
)
def test_a_type_of_a_newer_release_is_known_for_one(name: str) -> None:
    _, headers = golden("shipway.TrainingRequested.v1")
    with pytest.raises(NewerType, match="newer release") as caught:
        decode(b"anything", [h for h in headers if h[0] != "ce_type"] + [("ce_type", name.encode())])
    assert caught.value.name == name


@pytest.mark.parametrize(
    "name",
    [
        *(f"shipway.{name}" for name in ("TrainingRequested.v0", "TrainingRequested.v01", "TrainingRequested", "x.v1")),
        *(f"shipway.{name}" for name in ("PredictionBatch.v1", "É.v1", "ModelReleased.v2\n", "ModelReleased.v10000")),
        *("com.example.ModelReleased.v2", " shipway.ModelReleased.v2", f"shipway.{'A' * 65}.v1", ""),
    ],
)
def test_any_other_unknown_type_is_a_mistake(name: str) -> None:
    _, headers = golden("shipway.TrainingRequested.v1")
    with pytest.raises(InvalidField, match="ce_type"):
        decode(b"{}", [h for h in headers if h[0] != "ce_type"] + [("ce_type", name.encode())])


@given(
    value=st.one_of(st.none(), st.binary(max_size=50)), headers=st.lists(st.tuples(st.text(), st.binary()), max_size=5)
)
def test_any_bytes_are_refused_or_read(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(Permanent):
        decode(value, headers)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(EVENT_TYPES)), data=st.data())
def test_mangled_events_are_refused_or_still_valid(name: str, data: st.DataObject) -> None:
    value, headers = golden(name)
    raw: dict[str, Any] = json.loads(value)
    raw[data.draw(st.sampled_from(sorted(raw)))] = data.draw(JSON)
    try:
        event = decode(json.dumps(raw).encode(), headers)
    except Permanent:
        return
    assert isinstance(event.payload, EVENT_TYPES[name])


@pytest.mark.parametrize("value", [b"[" * 500_000, b"{" * 10, b"\xff\xfe", b"null", b'{"model": 1}', b" " * 1_000_001])
def test_hostile_values_are_refused_in_words(value: bytes) -> None:
    _, headers = golden("shipway.TrainingRequested.v1")
    with pytest.raises(Permanent, match=r"TrainingRequested"):
        decode(value, headers)


def without_time(headers: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [header for header in headers if header[0] != "ce_time"]


def test_an_event_that_says_no_time_has_the_messages() -> None:
    value, headers = golden("shipway.TrainingRequested.v1")
    assert decode(value, without_time(headers), 1_767_225_600_123).time == datetime(2026, 1, 1, 0, 0, 0, 123000, UTC)
    assert decode(value, headers, 1_767_225_600_123) == decode(value, headers), "what the event says goes first"


@pytest.mark.parametrize("written_ms", [None, -1, 2**63 - 1])
def test_an_event_of_no_time_at_all_is_refused(written_ms: int | None) -> None:
    value, headers = golden("shipway.TrainingRequested.v1")
    with pytest.raises(InvalidField, match="ce_time"):
        decode(value, without_time(headers), written_ms)


@pytest.mark.parametrize("said", [b"", b"yesterday", b"1767225600", b"\xff", b"x" * 300])
def test_a_time_that_is_none_is_refused_though_the_message_has_one(said: bytes) -> None:
    value, headers = golden("shipway.TrainingRequested.v1")
    with pytest.raises(InvalidField, match="ce_time"):
        decode(value, [*without_time(headers), ("ce_time", said)], 1_767_225_600_123)


def test_what_readers_would_not_take_is_not_written() -> None:
    event = events.TrainingFailed(model="m", request_id="r", stage="s", reason="x" * events.MAX_BYTES, attempts=1)
    with pytest.raises(Permanent, match="the limit is 1000000"):
        encode(Envelope("i", "s", datetime.now(UTC), event))


def test_packages_and_images_are_of_one_release() -> None:
    root = Path(__file__).parents[3]
    projects = [root / "pyproject.toml", *root.glob("libs/*/pyproject.toml"), *root.glob("services/*/pyproject.toml")]
    found = {tomllib.loads(project.read_text())["project"]["version"] for project in projects}
    found |= set(re.findall(r"image: shipway/\w+:(\S+)", (root / "docker-compose.yml").read_text()))
    assert found == {RELEASE}


def test_the_table_is_consistent() -> None:
    assert len({t.name for t in TOPICS}) == len(TOPICS)
    carried = [t.type for topic in TOPICS if topic.key != "none" for t in topic.types]
    assert sorted(carried) == sorted(set(EVENT_TYPES) - {"shipway.DeadLettered.v1"}), "each type has one topic"
    for topic in TOPICS:
        assert set(topic.producers) <= {*SERVICES, "client"}
        assert bool(topic.tables) <= (topic.retention_h is None), f"{topic.name}: a table must be compacted"


def test_every_event_is_of_the_contract() -> None:
    declared = {
        t.type
        for t in vars(events).values()
        if isinstance(t, type) and issubclass(t, events.Payload) and isinstance(getattr(t, "type", None), str)
    }
    assert declared == set(EVENT_TYPES)


def test_a_nul_is_refused_and_what_only_looks_like_one_is_not() -> None:
    _, headers = golden("shipway.TrainingRequested.v1")
    with pytest.raises(Permanent, match="NUL"):
        decode(rb'{"model": "m", "request_id": "a\u0000b"}', headers)
    assert decode(rb'{"model": "m", "request_id": "a\\u0000b"}', headers).payload.request_id == r"a\u0000b"  # type: ignore[union-attr]
    with pytest.raises(Permanent, match="ce_id"):
        decode(b'{"model": "m", "request_id": "r"}', [h if h[0] != "ce_id" else ("ce_id", b"a\x00") for h in headers])
