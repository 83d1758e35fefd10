"""CloudEvents 1.0 in Kafka binary mode: attributes in ``ce_`` headers, JSON in the value.

Rules: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
The trace goes along as W3C ``traceparent`` (the CloudEvents Distributed Tracing extension's name too).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.events import EVENT_TYPES, FeaturesPublished, GatewayPresence, Payload, PredictionResult, Presence
from shipway.contract.lookups import row_key
from shipway.contract.versions import check_not_newer

Headers = list[tuple[str, bytes]]
_YEAR_10000_MS = 253_402_300_800_000
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(t) for name, t in EVENT_TYPES.items()}
_limits = {name: t.max_bytes for name, t in EVENT_TYPES.items()}


@dataclass(frozen=True)
class Envelope:
    """An event on its way: ``id`` is unique within ``source``; both together name it for deduplication."""

    id: str
    source: str
    time: datetime
    payload: Payload
    traceparent: str | None = None


@dataclass(frozen=True)
class WireMessage:
    """A Kafka message's key, value and headers. A None value is a tombstone."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def key_of(payload: Payload) -> bytes | None:
    """The Kafka key: the model, or who says it for presence, the id for a result, table and key for features."""
    if isinstance(payload, Presence):
        return payload.instance.encode()
    if isinstance(payload, GatewayPresence):
        return payload.gateway.encode()
    if isinstance(payload, PredictionResult):
        return payload.result_id.encode()
    if isinstance(payload, FeaturesPublished):
        return row_key(payload.table, payload.key).encode()
    model = getattr(payload, "model", None)
    return model.encode() if isinstance(model, str) else None


def encode(event: Envelope) -> WireMessage:
    """The event as a Kafka message.

    Raises:
        Permanent: it is larger than its readers take it.
    """
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.payload.type.encode()),
        ("ce_time", event.time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("content-type", b"application/json"),
    ]
    if event.traceparent:
        headers.append(("traceparent", event.traceparent.encode()))
    value = _encoder.encode(event.payload)
    if len(value) > event.payload.max_bytes:
        raise Permanent(f"a {event.payload.type} of {len(value)} bytes; the limit is {event.payload.max_bytes}")
    return WireMessage(key_of(event.payload), value, headers)


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes]], written_ms: int | None = None) -> Envelope:
    """The event of a Kafka message.

    ``written_ms``, the message's timestamp in milliseconds since 1970, is the time of an event that says none, as
    CloudEvents lets it.

    Raises:
        NewerType: a newer release knows its type, and this one does not.
        Permanent: the message is not an event of the contract; the message says what is wrong with it.
    """
    attributes = text_headers(headers)
    name = attribute(attributes, "ce_type")
    decoder = _decoders.get(name)
    if decoder is None:
        check_not_newer(name)
        known = ", ".join(sorted(_decoders))
        raise InvalidField("ce_type", f"{name[:100]!r} is not a type of event known here; known are {known}")
    if value is None:
        raise Permanent(f"a {name} without a value")
    if len(value) > _limits[name]:
        raise Permanent(f"a {name} of {len(value)} bytes; the limit is {_limits[name]}")
    # The expression alone would take most of the time that reading a message takes.
    if b"u0000" in value and _NUL.search(value):
        raise Permanent(f"a {name} that holds a NUL character, which PostgreSQL can't keep; remove it")
    try:
        payload = decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise Permanent(f"not a valid {name}: {err}") from err
    return Envelope(
        id=attribute(attributes, "ce_id"),
        source=attribute(attributes, "ce_source"),
        time=_time(attributes, written_ms),
        payload=payload,
        traceparent=attributes.get("traceparent"),
    )


def text_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """The headers as text; what is not UTF-8 is shown, not raised (it can't be ours)."""
    return {key: (value or b"").decode("utf-8", "backslashreplace") for key, value in headers}


def attribute(attributes: dict[str, str], name: str) -> str:
    """A CloudEvents attribute that must be there, short enough for a key and without NUL.

    Raises:
        InvalidField: it is not.
    """
    text = attributes.get(name, "")
    if not text or len(text) > 256 or "\x00" in text:
        raise InvalidField(name, "a CloudEvents header of 1 to 256 characters, none of them NUL, is required")
    return text


def _time(attributes: dict[str, str], written_ms: int | None) -> datetime:
    if "ce_time" not in attributes and written_ms is not None and 0 <= written_ms < _YEAR_10000_MS:
        return datetime.fromtimestamp(written_ms / 1000, UTC)
    text = attribute(attributes, "ce_time")
    try:
        time = datetime.fromisoformat(text)
    except ValueError as err:
        raise InvalidField("ce_time", f"{text[:40]!r} is not an RFC 3339 time") from err
    return time if time.tzinfo else time.replace(tzinfo=UTC)
