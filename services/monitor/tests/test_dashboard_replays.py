"""Replays as pages show them: of any order of events, one of each, and an end is never taken back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from eventfuzz import golden
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor.dashboard.replays import SHOWN, TYPES, replays

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def row(kind: str, command_id: str, minute: int) -> dict[str, Any]:
    payload = msgspec.to_builtins(golden(kind, command_id=command_id).payload)
    return {"type": kind, "at": T0 + timedelta(minutes=minute), "payload": payload}


EVENTS = st.lists(st.builds(row, st.sampled_from(TYPES), st.sampled_from("abcdefgh"), st.integers(0, 5)), max_size=20)


@given(EVENTS)
def test_each_replay_is_shown_once_and_an_end_stays(events: list[dict[str, Any]]) -> None:
    found = replays(events)
    names = [one.command_id for one in found]
    assert len(names) == len(set(names)) == min(SHOWN, len({event["payload"]["command_id"] for event in events}))
    for one in found:
        told = {event["type"] for event in events if event["payload"]["command_id"] == one.command_id}
        assert one.running == (told == {TYPES[0]})
    assert [one.at for one in found] == sorted((one.at for one in found), reverse=True)
