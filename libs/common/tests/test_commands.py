"""Signed commands: nothing in one can be changed, none is obeyed late, and no other topic is a way around."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from shipway.contract import events as e
from shipway.contract.commandseal import HEADER, Unauthorised, check_seal, seal
from shipway.contract.envelope import Envelope, WireMessage, decode, encode
from shipway.runtime.authsettings import CommandSettings
from shipway.runtime.commands import command_admission

KEY = b"k" * 32
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
COMMAND = e.TrainingCancelRequested(model="m", request_id="r1", requested_by="ann")


def command(given_at: datetime = NOW) -> WireMessage:
    return encode(Envelope("id1", "shipway/client", given_at, COMMAND))


def check(message: WireMessage, now: datetime = NOW, key: bytes = KEY) -> None:
    given_at = decode(message.value, message.headers).time
    check_seal(message.value, message.headers, key, given_at=given_at, now=now, window_s=60)


def test_a_sealed_command_is_taken_and_stays_an_event() -> None:
    sealed = seal(command(), KEY)
    check(sealed)
    assert decode(sealed.value, sealed.headers).payload == COMMAND
    assert seal(sealed, KEY) == sealed, "sealing again is the same seal"


def with_header(message: WireMessage, name: str, value: bytes) -> WireMessage:
    return replace(message, headers=[(k, value if k == name else v) for k, v in message.headers])


CHANGES: dict[str, Callable[[WireMessage], WireMessage]] = {
    "another id": lambda m: with_header(m, "ce_id", b"id2"),
    "another source": lambda m: with_header(m, "ce_source", b"shipway/other"),
    "another time": lambda m: with_header(m, "ce_time", b"2026-01-01T12:00:01Z"),
    "another type": lambda m: with_header(m, "ce_type", b"shipway.TrainingAccepted.v1"),
    "another request": lambda m: replace(m, value=(m.value or b"").replace(b"r1", b"r2")),
    "a space more": lambda m: replace(m, value=(m.value or b"") + b" "),
    "a second id": lambda m: replace(m, headers=[*m.headers, ("ce_id", b"id2")]),
    "a second signature": lambda m: replace(m, headers=[*m.headers, (HEADER, b"hmac-sha256=00")]),
    "no signature": lambda m: replace(m, headers=[h for h in m.headers if h[0] != HEADER]),
    "odd bytes": lambda m: with_header(m, HEADER, b"\xff\xfe\xc3\xa9"),
    "an empty one": lambda m: with_header(m, HEADER, b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_command_is_refused(change: Callable[[WireMessage], WireMessage]) -> None:
    with pytest.raises(Unauthorised, match=HEADER):
        check(change(seal(command(), KEY)))


def test_another_key_does_not_pass() -> None:
    with pytest.raises(Unauthorised, match="not made with"):
        check(seal(command(), b"x" * 32))


def test_an_old_command_is_refused_and_so_is_one_of_the_future() -> None:
    sealed = seal(command(), KEY)
    check(sealed, NOW + timedelta(seconds=60))
    with pytest.raises(Unauthorised, match="61 s ago"):
        check(sealed, NOW + timedelta(seconds=61))
    with pytest.raises(Unauthorised, match="ahead"):
        check(sealed, NOW - timedelta(seconds=61))


def test_a_signed_command_that_says_no_time_is_refused_however_new_its_message_is() -> None:
    message = command()
    sealed = seal(replace(message, headers=[h for h in message.headers if h[0] != "ce_time"]), KEY)
    event = decode(sealed.value, sealed.headers, round(1000 * NOW.timestamp()))
    with pytest.raises(Unauthorised, match="ce_time: a signed command must say when"):
        check_seal(sealed.value, sealed.headers, KEY, given_at=event.time, now=NOW, window_s=60)


@given(ids=st.lists(st.text(max_size=8), min_size=2, max_size=2), split=st.integers(0, 8))
def test_no_two_commands_share_a_signature(ids: list[str], split: int) -> None:
    """Also not where text moves from one attribute into its neighbour."""

    def signed(event_id: str, source: str) -> bytes:
        headers = [("ce_type", b"t"), ("ce_id", event_id.encode()), ("ce_source", source.encode()), ("ce_time", b"now")]
        return dict(seal(WireMessage(None, b"{}", headers), KEY).headers)[HEADER]

    text = "".join(ids)
    moved = (text[:split], text[split:])
    assert (signed(*ids) == signed(*moved)) == (tuple(ids) == moved)


def test_admission_asks_for_a_signature_where_there_is_a_key() -> None:
    admit = command_admission(CommandSettings(operator_key=SecretStr(KEY.decode())))

    def ask(message: WireMessage) -> None:
        record: Any = SimpleNamespace(value=message.value, headers=message.headers, topic="shipway.operator-commands")
        admit(record, decode(message.value, message.headers))

    fresh = command(datetime.now(UTC))
    ask(seal(fresh, KEY))
    with pytest.raises(Unauthorised, match="not signed"):
        ask(fresh)
    with pytest.raises(Unauthorised, match="ago"):
        ask(seal(command(), KEY))
    ask(encode(Envelope("i", "s", NOW, e.TrainingAccepted(model="m", request_id="r"))))
    command_admission(CommandSettings())(SimpleNamespace(), decode(fresh.value, fresh.headers))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="32 characters"):
        CommandSettings(operator_key=SecretStr("short"))
