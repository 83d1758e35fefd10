"""Versions on a time axis: from when to when each was what, as bars within 0 to 1. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shipway.monitor.dashboard import figures

# What an event makes of the version that it is about; from then on it is that.
_BECOMES = {
    "shipway.TrainingCompleted.v1": "trained",
    "shipway.ModelApproved.v1": "approved",
    "shipway.ModelRejected.v1": "rejected",
    "shipway.ReleasePromoted.v1": "champion",
    "shipway.ReleaseRolledBack.v1": "rolled_back",
    "shipway.ReleaseSuperseded.v1": "superseded",
    "shipway.ModelRetired.v1": "retired",
}
_ENDS = frozenset({"rejected", "superseded", "retired", "rolled_back"})
TYPES = (*_BECOMES, "shipway.ReleaseProgressed.v1")
LEAST = timedelta(minutes=5)


@dataclass(frozen=True)
class Bar:
    """A version was ``state`` from ``left`` to ``left + width``, both 0 to 1; ``words`` says when."""

    state: str
    left: float
    width: float
    words: str


@dataclass(frozen=True)
class Lane:
    """A version's bars."""

    version: int
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Tick:
    """A moment on the axis, at ``left`` 0 to 1."""

    left: float
    words: str


@dataclass(frozen=True)
class Timeline:
    """The newest version first."""

    lanes: Sequence[Lane]
    ticks: Sequence[Tick]


@dataclass(frozen=True)
class _Turn:
    at: datetime
    state: str


def timeline(events: Iterable[Mapping[str, Any]], now: datetime) -> Timeline:
    """What events say (rows with version, type, at, payload; the oldest first), until now."""
    turns: dict[int, list[_Turn]] = {}
    champion: int | None = None
    for event in events:
        state = _state(event)
        if state is None:
            continue
        number, at = int(event["version"]), event["at"]
        turns.setdefault(number, []).append(_Turn(at, state))
        if state == "champion":
            if champion not in (None, number) and champion in turns:
                turns[champion].append(_Turn(at, "last_good"))
            champion = number
        elif state == "rolled_back" and champion == number:
            back = event["payload"].get("champion_version")
            if back in turns:
                turns[back].append(_Turn(at, "champion"))
            champion = back
    if not turns:
        return Timeline((), ())
    begin = min(min(turn.at for turn in of) for of in turns.values())
    whole = max(now - begin, LEAST)
    lanes = [Lane(number, _bars(of, begin, whole, now)) for number, of in sorted(turns.items(), reverse=True)]
    return Timeline(lanes, _ticks(begin, whole))


def _state(event: Mapping[str, Any]) -> str | None:
    if event["version"] is None:
        return None
    if event["type"] == "shipway.ReleaseProgressed.v1":
        to = event["payload"].get("to_state")
        return to if to in ("loading", "shadow", "canary") else None
    return _BECOMES.get(event["type"])


def _bars(turns: list[_Turn], begin: datetime, whole: timedelta, now: datetime) -> list[Bar]:
    found: list[Bar] = []
    ordered = sorted(turns, key=lambda turn: turn.at)
    for turn, after in zip(ordered, [*ordered[1:], None], strict=True):
        if after is not None and after.state == turn.state:
            continue  # told again
        end = after.at if after is not None else turn.at if turn.state in _ENDS else now
        left, right = (turn.at - begin) / whole, (end - begin) / whole
        lasted = f" for {figures.span(end - turn.at)}" if end > turn.at else ""
        words = f"{turn.state.replace('_', ' ')} from {figures.moment(turn.at)}{lasted}"
        found.append(Bar(turn.state, min(left, 0.995), max(right - left, 0.005), words))
    return found


def _ticks(begin: datetime, whole: timedelta) -> list[Tick]:
    form = "%H:%M" if whole < timedelta(hours=36) else "%d %b" if whole < timedelta(days=300) else "%b %Y"
    return [Tick(i / 4, (begin + i / 4 * whole).strftime(form)) for i in range(5)]
