"""A shadow: judged by the copies that it answers, and never by what they do to a client, for they do nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.releaser.tests.releasing import (
    POLICY,
    START,
    approved,
    digest,
    holding,
    look,
    only,
    promoted_to,
    said_of,
    serving,
    told,
)
from shipway.contract import events as e
from shipway.releaser.counts import Instance, Loaded
from shipway.releaser.state import Model, Order

SHADOW = POLICY.model_copy(
    update={"shadow": 0.5, "shadow_for": timedelta(seconds=30), "max_distance": 0.2, "sticky": "header:X-Shipway-Key"}
)


def shadowing(policy: Any = SHADOW) -> Model:
    """Champion 1, and version 2 its shadow since START."""
    return look(approved(serving(), 2, policy), holding(1, 2)).model


def copied(answered: int, errors: int = 0, distance: float = 0.05) -> list[Instance]:
    """Instances that hold both; the shadow has answered so much on each, so far from the champion."""
    ours = Loaded(digest(2), "ready", answered=answered, errors=errors, compared=answered, distance=distance * answered)
    theirs = Loaded(digest(1), "ready", answered=2 * answered)
    return [Instance(name, START, {1: theirs, 2: ours}) for name in "pq"]


def test_a_candidate_is_a_shadow_first_where_the_model_file_asks_for_it() -> None:
    begun = look(approved(serving(), 2, SHADOW), holding(1, 2))
    assert told(begun) == ["ReleaseProgressed", "ReleaseProgressed"]
    (_, progressed) = begun.events
    assert isinstance(progressed, e.ReleaseProgressed)
    assert (progressed.to_state, progressed.candidate_share) == ("shadow", 0.0)
    assert begun.model.desired.traffic == ((1, 1.0),)
    assert begun.model.desired.shadow == (2, 0.5)
    assert begun.model.desired.sticky == "", "nothing is split"


def test_a_shadow_as_good_goes_on_to_its_canary_with_its_figures() -> None:
    assert look(shadowing(), copied(50), 29).model.desired.traffic == ((1, 1.0),)
    done = look(shadowing(), copied(50), 30)
    assert only(done, e.ModelReleased).candidate_share == 0.1
    progressed = only(done, e.ReleaseProgressed)
    assert (progressed.from_state, progressed.to_state, progressed.by) == ("shadow", "canary", "rule shadow")
    assert progressed.figures["distance"] == pytest.approx(0.05)
    assert done.model.desired == replace(
        done.model.desired, traffic=((1, 0.9), (2, 0.1)), shadow=None, sticky="header:X-Shipway-Key"
    )
    assert done.model.releases[2].evidence.requests == 0, "a canary is judged by its own answers"


@pytest.mark.parametrize(
    ("figures", "rule", "words"),
    [
        ({"answered": 60, "errors": 40}, "rule shadow error limit", "80 of 200 answers failed"),
        (
            {"answered": 200, "distance": 0.6},
            "rule shadow distance",
            "its scores lie 0.600 from the champion's over 400",
        ),
    ],
)
def test_a_shadow_that_does_harm_is_rolled_back_before_anybody_saw_it(figures: Any, rule: str, words: str) -> None:
    back = look(shadowing(), copied(**figures), 5)
    assert words in only(back, e.ReleaseRolledBack).reason
    assert only(back, e.ReleaseProgressed).by == rule
    assert not [x for x in back.events if isinstance(x, e.ModelReleased)]


def test_a_slow_shadow_is_rolled_back() -> None:
    """What is slow is one in ten of the champion's, as in a canary."""
    fast = Loaded(digest(1), "ready", answered=400, latency=(400,))
    other = holding(1, 2, names="q")
    before = [Instance("p", START, {1: fast, 2: Loaded(digest(2), "ready")}), *other]
    begun = look(approved(serving(), 2, SHADOW), before).model
    faster = replace(fast, answered=800, latency=(800,))
    slow = Loaded(digest(2), "ready", answered=200, compared=200, latency=(0, 0, 200))
    back = look(begun, [Instance("p", START, {1: faster, 2: slow}), *other], 5)
    assert only(back, e.ReleaseProgressed).by == "rule shadow latency"


def test_too_few_copies_end_as_on_insufficient_says() -> None:
    assert look(shadowing(), copied(5), 1799).model.in_progress is not None
    assert look(shadowing(), copied(5), 1799).events == ()
    on = look(shadowing(), copied(5), 1800)
    assert only(on, e.ReleaseProgressed).to_state == "canary"
    lax = SHADOW.model_copy(update={"on_insufficient": "roll_back"})
    assert "10 of the 20 answers" in only(look(shadowing(lax), copied(5), 1800), e.ReleaseRolledBack).reason


def test_a_shadow_on_hold_does_not_go_on_and_goes_on_from_there() -> None:
    held = look(replace(shadowing(), orders=(Order("c", "hold", None, "wait", "ann"),)), copied(50)).model
    assert look(held, copied(50), 3000).events == ()
    goes_on = look(replace(held, orders=(Order("d", "resume", None, "", "ann"),)), copied(50), 3000)
    assert goes_on.model.desired.traffic == ((1, 0.9), (2, 0.1))


def test_without_a_canary_a_shadow_is_promoted() -> None:
    at_once = SHADOW.model_copy(update={"canary": []})
    done = look(shadowing(at_once), copied(50), 30)
    assert told(done) == ["ReleaseProgressed", "ModelReleased", "ReleasePromoted"]
    assert "shadow" in only(done, e.ReleasePromoted).reason


def test_the_first_version_is_nobodys_shadow() -> None:
    assert look(approved(Model("flights"), 1, SHADOW), holding(1)).model.desired.shadow is None


def test_a_shadow_of_a_champion_that_is_another_by_now_begins_anew() -> None:
    model = look(approved(promoted_to(1, 3), 4, SHADOW), holding(1, 3, 4)).model
    far = Loaded(digest(4), "ready", answered=20, compared=20, distance=9.0)
    instances = [replace(i, loaded={**i.loaded, 4: far}) for i in holding(1, 3, 4)]
    seen = look(model, instances, 1).model
    assert seen.releases[4].evidence.distance == 18.0
    back = look(said_of(seen, 3, degraded="slow"), instances, 2).model
    assert back.champion is not None and back.champion.number == 1
    evidence = back.releases[4].evidence
    assert (evidence.against, evidence.compared, evidence.distance) == (1, 0, 0.0)
