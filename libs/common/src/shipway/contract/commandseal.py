"""The signature of operator commands: who holds the operator key shows that a command is theirs, and of now. Pure.

A message header ``shipwaysignature: hmac-sha256=<hex>``, over the event's type, id, source and time, and its value. The
source is in it because id and source together are what the inbox knows an event by: no copy passes for a new command.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import msgspec

from shipway.contract.envelope import WireMessage, text_headers
from shipway.contract.errors import Permanent

HEADER = "shipwaysignature"
_SIGNED = ("ce_type", "ce_id", "ce_source", "ce_time")


class Unauthorised(Permanent):
    """A command that nobody with the operator key gave, or not now."""


def seal(message: WireMessage, key: bytes) -> WireMessage:
    """The message with its signature."""
    headers = [(name, value) for name, value in message.headers if name != HEADER]
    return replace(message, headers=[*headers, (HEADER, _signature(message.value, headers, key).encode())])


def check_seal(
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
    key: bytes,
    *,
    given_at: datetime,
    now: datetime,
    window_s: float,
) -> None:
    """Holds a command's signature against it; ``given_at`` is its ce_time.

    Raises:
        Unauthorised: there is none, it is another's, or the command does not say when it was given, or is older (or
            further ahead) than ``window_s``.
    """
    headers = list(headers)
    given = text_headers(headers).get(HEADER)
    if given is None:
        raise Unauthorised(f"{HEADER}: the command is not signed; give the operator key (SHIPWAY__AUTH__OPERATOR_KEY)")
    # As bytes: compare_digest takes no text that is not ASCII.
    if not hmac.compare_digest(given.encode("utf-8", "replace"), _signature(value, headers, key).encode()):
        raise Unauthorised(f"{HEADER}: not made with the operator key that is known here")
    if "ce_time" not in text_headers(headers):
        # Kafka's time of a message is its sender's, and not signed: a copy of the command would be new for ever.
        raise Unauthorised("ce_time: a signed command must say when it was given; add the header and sign it again")
    age_s = (now - given_at).total_seconds()
    if abs(age_s) > window_s:
        when = f"{age_s:.0f} s ago" if age_s > 0 else f"{-age_s:.0f} s ahead of this clock"
        raise Unauthorised(f"ce_time: the command was signed {when}; {window_s:g} s are allowed; give it again")


def _signature(value: bytes | None, headers: Iterable[tuple[str, bytes]], key: bytes) -> str:
    attributes = text_headers(headers)
    # A JSON list ends where it ends: no character in a header can move the borders between the parts.
    signed = msgspec.json.encode([attributes.get(name, "") for name in _SIGNED]) + (value or b"")
    return "hmac-sha256=" + hmac.new(key, signed, hashlib.sha256).hexdigest()
