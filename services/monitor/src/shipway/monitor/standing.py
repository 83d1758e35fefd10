"""Who is champion of a model, by what the releaser told, in the order of its generations. Pure.

A generation only grows, clocks do not, and a broker that lost its data is told all of it again, in any order. So what
is told is not added to what is known: it is read anew from all that is on record, and the latest generation holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from shipway.monitor.views import RANK

State = Literal["champion", "last_good", "standby", "rolled_back"]


@dataclass(frozen=True)
class Told:
    """A promotion of ``version``, after which ``other`` is the last good one; or a rollback, after which ``other`` is
    the champion (None: there is none).
    """

    generation: int
    at: datetime
    what: Literal["promoted", "rolled back"]
    version: int
    other: int | None


@dataclass(frozen=True)
class Place:
    """Where a version stands since ``at``, by the word of ``generation``; when it first was champion, and last left."""

    state: State
    at: datetime
    generation: int
    promoted_at: datetime | None = None
    left_at: datetime | None = None


@dataclass
class Standing:
    """A model's champion and last good version, and the places of all that ever were promoted or rolled back."""

    champion: int | None = None
    last_good: int | None = None
    places: dict[int, Place] = field(default_factory=dict)


def standing(told: Iterable[Told]) -> Standing:
    """What all that was told comes to, in whatever order it came."""
    found, at = Standing(), None
    for one in sorted(told, key=lambda one: (one.generation, one.at)):
        at = one.at if at is None else max(at, one.at)  # a clock that was set back says nothing of the order
        if one.what == "promoted":
            _promote(found, one, at)
        else:
            _roll_back(found, one, at)
    return found


def takes(now: str | None, since: datetime | None, place: Place) -> bool:
    """Whether a version that is said to be in state ``now`` since then takes its place.

    What was told of it otherwise, such as its retirement, holds if it is newer; but there is one champion.
    """
    if (now, since) == (place.state, place.at):
        return False
    if now is None or since is None or RANK[now] < RANK["loading"]:
        return True
    if now == "retired":
        return place.state == "champion" and place.at >= since
    return place.state == "champion" or now == "champion" or place.at >= since


def _promote(found: Standing, one: Told, at: datetime) -> None:
    if one.version == found.champion:
        return
    if found.last_good not in (None, one.version, one.other):
        _put(found, found.last_good, "standby", one, at)
    _lost(found, one)
    if one.other is not None:
        _put(found, one.other, "last_good", one, at)
    _put(found, one.version, "champion", one, at)
    found.champion, found.last_good = one.version, one.other


def _roll_back(found: Standing, one: Told, at: datetime) -> None:
    replaced = found.champion
    _put(found, one.version, "rolled_back", one, at)
    if one.other == replaced:
        return  # it was a candidate
    _lost(found, one)
    if one.other is not None:
        _put(found, one.other, "champion", one, at)
    found.champion, found.last_good = one.other, None


def _lost(found: Standing, one: Told) -> None:
    """A champion that was replaced by what has not been heard yet: it keeps its time, so that this still counts."""
    if found.champion not in (None, one.version, one.other):
        assert found.champion is not None
        _put(found, found.champion, "standby", one, found.places[found.champion].at)


def _put(found: Standing, version: int | None, state: State, one: Told, at: datetime) -> None:
    assert version is not None
    before = found.places.get(version)
    place = Place(state, at, one.generation) if before is None else replace(before, state=state, at=at)
    if state == "champion":
        place = replace(place, promoted_at=place.promoted_at or at)
    elif before is None or before.state == "champion":
        place = replace(place, left_at=at)
    found.places[version] = replace(place, generation=one.generation)
