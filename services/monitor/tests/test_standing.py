"""One champion, whatever order its events come in."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor.standing import Place, Standing, Told, standing, takes
from shipway.monitor.views import RANK

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def promoted(generation: int, version: int, previous: int | None) -> Told:
    return Told(generation, T0 + generation * HOUR, "promoted", version, previous)


def rolled_back(generation: int, version: int, champion: int | None) -> Told:
    return Told(generation, T0 + generation * HOUR, "rolled back", version, champion)


def states(found: Standing) -> dict[int, str]:
    return {version: place.state for version, place in found.places.items()}


def test_a_promotion_moves_the_champion_to_last_good_and_that_one_to_standby() -> None:
    found = standing([promoted(1, 1, None), promoted(2, 2, 1), promoted(3, 3, 2)])
    assert (found.champion, found.last_good) == (3, 2)
    assert states(found) == {1: "standby", 2: "last_good", 3: "champion"}
    assert found.places[2] == Place("last_good", T0 + 3 * HOUR, 3, T0 + 2 * HOUR, T0 + 3 * HOUR)


def test_a_champion_that_is_rolled_back_gives_way_and_a_candidate_leaves_it() -> None:
    found = standing([promoted(1, 1, None), promoted(2, 2, 1), rolled_back(3, 2, 1)])
    assert (found.champion, found.last_good, states(found)) == (1, None, {1: "champion", 2: "rolled_back"})
    found = standing([promoted(1, 1, None), rolled_back(2, 2, 1)])
    assert (found.champion, states(found)) == (1, {1: "champion", 2: "rolled_back"})
    found = standing([promoted(1, 1, None), rolled_back(2, 1, None)])
    assert (found.champion, states(found)) == (None, {1: "rolled_back"})


def test_who_was_lost_on_the_way_is_no_champion() -> None:
    """The promotion of version 2 has not come yet: the next ones say enough."""
    assert states(standing([promoted(1, 1, None), promoted(3, 3, 2)])) == {
        1: "standby",
        2: "last_good",
        3: "champion",
    }
    found = standing([promoted(1, 1, None), rolled_back(3, 4, 2)])
    assert (found.champion, states(found)) == (2, {1: "standby", 2: "champion", 4: "rolled_back"})


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    """What a releaser tells of a model: candidates promoted or rolled back, champions rolled back."""
    told: list[Told] = []
    champion: int | None = None
    last_good: int | None = None
    for generation in range(1, draw(st.integers(1, 9)) + 1):
        at = T0 + draw(st.integers(0, 5)) * HOUR  # its clock may be set back
        if champion is not None and draw(st.booleans()) and draw(st.booleans()):
            told.append(Told(generation, at, "rolled back", champion, last_good))
            champion, last_good = last_good, None
        elif draw(st.booleans()):
            told.append(Told(generation, at, "promoted", generation, champion))
            champion, last_good = generation, champion
        else:
            told.append(Told(generation, at, "rolled back", generation, champion))
    return told


@given(histories(), st.data())
def test_the_same_is_true_in_whatever_order_it_was_told(history: list[Told], data: st.DataObject) -> None:
    known, kept = standing(history), data.draw(st.permutations(history))
    assert standing([*kept, *kept[:2]]) == known
    champions = [version for version, place in known.places.items() if place.state == "champion"]
    assert champions == ([known.champion] if known.champion is not None else [])
    last = history[-1]
    assert known.champion == (last.version if last.what == "promoted" else last.other)


@pytest.mark.parametrize("now", sorted(RANK))
def test_only_the_champion_s_place_is_taken_whatever_was_told(now: str) -> None:
    newer, older = T0 + HOUR, T0 - HOUR
    assert takes(now, T0, Place("champion", newer, 1))
    assert takes(now, T0, Place("champion", older, 1)) == (now != "retired")
    assert takes(now, T0, Place("standby", newer, 1)) == (now != "retired")
    unsettled = RANK[now] < RANK["loading"] or now == "champion"
    assert takes(now, T0, Place("standby", older, 1)) == unsettled
    assert not takes("standby", T0, Place("standby", T0, 1))
