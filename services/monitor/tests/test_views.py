"""How events move states: never backwards by what is late, and always to one champion at most."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract import events as e
from shipway.monitor.views import (
    RANK,
    REQUEST_RANK,
    VersionChange,
    may_become,
    request_change,
    request_may_become,
    version_change,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
RELEASE: dict[str, Any] = {"model": "m", "release_id": "r", "generation": 1, "digest": "d", "reason": "why"}
states = st.sampled_from(sorted(RANK))
moments = st.integers(-3, 3).map(lambda h: T0 + h * HOUR)


def promoted(version: int, previous: int | None) -> e.ReleasePromoted:
    return e.ReleasePromoted(version=version, previous_version=previous, **RELEASE)


def rolled_back(version: int, champion: int | None) -> e.ReleaseRolledBack:
    return e.ReleaseRolledBack(version=version, champion_version=champion, champion_digest=None, **RELEASE)


def answered(action: str, *, done: bool) -> e.CommandAnswered:
    return e.CommandAnswered(model="m", command_id="c", action=action, version=2, done=done, answer="because")


@given(states, states, moments)
def test_training_and_evaluation_only_move_forward(now: str, new: str, at: datetime) -> None:
    change = VersionChange(1, new, True)
    assert may_become(now, T0, change, at) == (RANK[new] > RANK[now] and not (now == "champion" and new == "retired"))


@given(states, states, moments)
def test_an_older_word_of_a_release_changes_nothing_but_what_training_said(now: str, new: str, at: datetime) -> None:
    counts = may_become(now, T0, VersionChange(1, new), at)
    if counts:
        assert at >= T0 or (RANK[now] < RANK["loading"] and RANK[new] > RANK[now])
    if counts and now == "champion":
        assert new != "retired"


@given(st.sampled_from(sorted(RANK)), moments)
def test_the_first_word_always_counts(new: str, at: datetime) -> None:
    assert may_become(None, None, VersionChange(1, new, True), at)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (promoted(2, 1), "champion"),
        (rolled_back(2, 1), "rolled_back"),
        (e.ReleaseSuperseded(model="m", version=2, release_id="r", by_version=3), "superseded"),
        (e.ModelRetired(model="m", version=2, policy="p", reason="old"), "retired"),
        (answered("restore", done=True), "standby"),
        (answered("restore", done=False), None),
        (answered("pin", done=True), None),
        (e.ModelDegraded(model="m", version=2, figure="f", value=1, limit=0, reason="bad"), None),
    ],
)
def test_events_name_their_state(event: e.Event, state: str | None) -> None:
    found = version_change(event)
    assert (found.state if found else None) == state


@pytest.mark.parametrize(
    ("now", "state", "minutes", "counts"),
    [
        ("failed", "training", 1, True),
        ("failed", "accepted", 1, True),
        ("failed", "training", -1, False),
        ("failed", "trained", -1, True),
        ("trained", "training", 1, False),
        ("trained", "failed", 1, False),
        ("training", "failed", -1, True),
        ("training", "training", -1, False),
        ("training", "searched", 0, True),
    ],
)
def test_a_request_goes_forward_and_one_that_failed_may_be_run_again(
    now: str, state: str, minutes: int, counts: bool
) -> None:
    assert request_may_become(now, T0, state, T0 + timedelta(minutes=minutes)) == counts


def test_a_search_tells_what_it_found() -> None:
    found = [e.FoundParameters(request_id="s.1", params={"num_leaves": 9}, figure=0.72)]
    event = e.SearchCompleted(
        model="m", request_id="s", trials=9, pruned=2, metric="auc", baseline=0.7, candidates=found, duration_s=3.0
    )
    change = request_change(event)
    assert change is not None
    assert (change.state, change.columns["message"]) == ("searched", "9 trials; to be trained: s.1 (auc 0.72)")


def test_a_request_goes_through_its_states_in_rank() -> None:
    told: list[e.Event] = [
        e.TrainingRequested(model="m", request_id="r"),
        e.TrainingAccepted(model="m", request_id="r"),
        e.TrainingProgressed(model="m", request_id="r", stage="training", fraction=0.5),
        e.TrainingFailed(model="m", request_id="r", stage="training", reason="why", attempts=1),
    ]
    changes = [c for c in map(request_change, told) if c is not None]
    ranks = [REQUEST_RANK[c.state] for c in changes]
    assert len(changes) == len(told) and ranks == sorted(set(ranks))
    assert replace(changes[3], columns={}).state == "failed"
