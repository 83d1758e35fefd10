"""What operators command: each order obeyed in the plainest case, or refused with the reason; told either way."""

from dataclasses import replace
from typing import Any

import pytest

from services.releaser.tests.releasing import (
    POLICY,
    START,
    after,
    approved,
    holding,
    in_canary,
    look,
    only,
    promoted_to,
    said_of,
    serving,
    told,
)
from shipway.contract import events as e
from shipway.releaser.counts import Instance
from shipway.releaser.release import Decision
from shipway.releaser.state import Hold, Model, Order

BOTH = holding(1, 2)


def order(
    model: Model, action: Any, version: int | None = None, instances: list[Instance] = BOTH, seconds: float = 0
) -> Decision:
    given = Order("c1", action, version, "because", "ann")
    return look(replace(model, orders=(*model.orders, given)), instances, seconds)


def answer(decision: Decision, *, done: bool = True) -> str:
    """What the one who asked is told; every order is answered once, and gone."""
    said = only(decision, e.CommandAnswered)
    assert (said.command_id, said.requested_by, said.reason) == ("c1", "ann", "because")
    assert said.done is done, said.answer
    assert decision.model.orders == ()
    return str(said.answer)


def on_hold(model: Model, number: int, kind: Any = "approval") -> Model:
    release = replace(model.releases[number], hold=Hold(kind, "found by a search", START))
    return replace(model, releases={**model.releases, number: release})


def test_a_version_on_hold_waits_for_its_approval() -> None:
    model = on_hold(approved(serving(), 2), 2)
    assert look(model, BOTH, 1000).model == model
    done = order(model, "approve")
    assert answer(done) == "version 2 is released when its turn comes"
    assert done.model.in_progress is not None
    assert done.model.in_progress.version == 2
    again = order(done.model, "approve", 2, seconds=1)
    assert "does not wait for approval: it is candidate, its release canary" in answer(again, done=False)
    assert answer(order(serving(), "approve"), done=False) == "no version waits for approval"


def test_what_waits_for_a_person_passes_nobody_over_and_is_passed_over_by_what_is_released() -> None:
    model = on_hold(approved(approved(in_canary(), 3), 4), 4)
    waiting = look(model, BOTH).model
    assert [v.number for v in waiting.with_role("waiting")] == [4, 3], (
        "3 is not superseded by one that waits for a word"
    )
    approved_now = order(waiting, "approve", 4)
    assert only(approved_now, e.ReleaseSuperseded).version == 3


def test_nobody_approves_it_and_it_ends() -> None:
    model = on_hold(approved(serving(), 2), 2)
    week = POLICY.hold_limit.total_seconds()
    assert look(model, BOTH, week - 1).events == ()
    back = only(look(model, BOTH, week), e.ReleaseRolledBack)
    assert back.reason == "nobody approved it for 7d: found by a search"


def test_the_candidate_is_promoted_by_hand_before_its_canary_is_over() -> None:
    done = order(in_canary(), "promote")
    assert answer(done) == "version 2 is the champion"
    assert only(done, e.ReleasePromoted).reason == "ann: because"
    assert only(done, e.ReleaseProgressed).by == "operator ann"
    assert done.model.desired.traffic == ((2, 1.0),)


def test_what_is_not_ready_is_not_promoted_by_hand_either() -> None:
    refused = order(in_canary(), "promote", 2, instances=[*holding(1, 2, names="p"), *holding(1, names="q")])
    assert "version 2 is ready on 1 of the 2 instances that it needs: q: has not" in answer(refused, done=False)
    assert told(refused) == ["CommandAnswered"]
    assert "what waits is approved" in answer(order(serving(), "promote", 2), done=False)
    frozen = order(in_canary(), "freeze").model
    assert "the model is frozen (ann: because)" in answer(order(frozen, "promote"), done=False)


def test_a_candidate_is_rolled_back_by_hand() -> None:
    done = order(in_canary(), "roll_back")
    assert answer(done) == "version 2 is rolled back"
    assert only(done, e.ReleaseRolledBack).reason == "ann: because"
    assert done.model.desired.traffic == ((1, 1.0),)


def test_a_champion_is_rolled_back_by_hand_in_one_step_and_nothing_comes_back_to_it() -> None:
    instances = holding(1, 2, 3)
    done = order(promoted_to(1, 2, 3), "roll_back", 3, instances)
    assert answer(done) == "version 2 is the champion again"
    assert only(done, e.ReleaseRolledBack).champion_version == 2
    assert done.model.desired.traffic == ((2, 1.0),)
    assert done.model.desired.held == ((2, "champion"), (1, "last_good"), (3, "standby"))
    again = order(done.model, "roll_back", None, instances)
    assert again.model.desired.traffic == ((1, 1.0),)
    nothing = order(again.model, "roll_back", None, instances)
    assert "no sound version to go back to from version 1" in answer(nothing, done=False)
    assert "version 7 takes no traffic" in answer(order(promoted_to(1, 2), "roll_back", 7), done=False)


def test_a_rollback_waits_for_nobody_but_needs_an_instance() -> None:
    refused = order(promoted_to(1, 2), "roll_back", None, holding(2))
    assert "version 1, the last good one, is not ready on enough" in answer(refused, done=False)


def test_a_waiting_version_is_turned_down_by_hand() -> None:
    model = on_hold(approved(serving(), 2), 2)
    done = order(model, "roll_back", 2)
    assert answer(done) == "version 2 is not released"
    assert only(done, e.ReleaseRolledBack).version == 2


def test_a_release_on_hold_goes_neither_on_nor_out_of_time_but_back_where_it_fails() -> None:
    held = order(in_canary(), "hold")
    assert answer(held) == "the release of version 2 is on hold, with 10% of the traffic"
    fine = holding(1, 2, answered=100, errors=0)
    assert look(held.model, fine, 5000).events == ()
    failing = look(held.model, holding(1, 2, answered=50, errors=50), 10)
    assert only(failing, e.ReleaseRolledBack).reason.startswith("100 of 200")
    assert "on hold already" in answer(order(held.model, "hold"), done=False)
    resumed = order(look(held.model, fine, 5000).model, "resume", None, fine, 5000)
    assert answer(resumed) == "the release of version 2 goes on"
    assert resumed.model.releases[2].step == 1
    second = order(resumed.model, "hold", 2, fine, 5000).model
    limit = 5000 + POLICY.hold_limit.total_seconds()
    assert "it was held for 7d: ann: because" in only(look(second, fine, limit), e.ReleaseRolledBack).reason


def test_resuming_is_not_approving() -> None:
    model = on_hold(approved(serving(), 2), 2)
    assert "waits for approval (found by a search): approve it" in answer(order(model, "resume"), done=False)
    assert "not on hold" in answer(order(in_canary(), "resume"), done=False)
    assert "no release of version 9" in answer(order(in_canary(), "resume", 9), done=False)


def test_while_frozen_nothing_starts_or_goes_on_but_it_goes_back() -> None:
    frozen = order(approved(serving(), 2), "freeze")
    assert answer(frozen) == "no release starts or goes on until it is unfrozen"
    assert look(frozen.model, BOTH, 1000).model == frozen.model
    assert "frozen already" in answer(order(frozen.model, "freeze"), done=False)
    goes_on = order(frozen.model, "unfreeze", seconds=1000)
    assert answer(goes_on) == "releases go on"
    assert goes_on.model.in_progress is not None
    assert "not frozen" in answer(order(serving(), "unfreeze"), done=False)

    half_way = order(in_canary(), "freeze").model
    assert look(half_way, holding(1, 2, answered=100, errors=0), 5000).events == ()
    assert only(order(half_way, "roll_back"), e.ReleaseRolledBack).version == 2
    assert only(look(half_way, holding(1, 2, answered=50, errors=50), 9), e.ReleaseRolledBack).version == 2
    assert look(order(half_way, "unfreeze", seconds=5000).model, BOTH, 5000 + 1799).model.in_progress is not None


def test_a_degraded_champion_gives_way_also_while_frozen() -> None:
    frozen = order(promoted_to(1, 2), "freeze").model
    assert only(look(said_of(frozen, 2, degraded="slow"), BOTH), e.ReleaseRolledBack).champion_version == 1


def test_a_pinned_version_is_kept() -> None:
    instances = holding(1, 2, 3)
    pinned = order(promoted_to(1, 2, 3), "pin", 1, instances)
    assert answer(pinned) == "version 1 is kept until it is unpinned"
    kept = look(said_of(pinned.model, 1, retiring="age"), instances, 10)
    assert only(kept, e.RetirementDeferred).reason == "it is pinned: ann: because"
    gone = order(kept.model, "unpin", None, instances, 20)
    assert answer(gone) == "version 1 may go by rule"
    assert gone.model.desired.held == ((3, "champion"), (2, "last_good"))
    assert answer(order(serving(), "unpin"), done=False) == "0 versions are pinned: name one"
    assert "version 1 is not pinned" in answer(order(serving(), "unpin", 1), done=False)
    assert "can't be pinned: it is candidate" in answer(order(in_canary(), "pin", 2), done=False)


def test_a_version_is_retired_and_restored_by_hand() -> None:
    instances = holding(1, 2, 3)
    retired = order(promoted_to(1, 2, 3), "retire", 1, instances, 10)
    assert only(retired, e.ModelRetired).policy == "operator"
    assert retired.model.desired.held == ((3, "champion"), (2, "last_good"))
    back = order(retired.model, "restore", 1, instances, 20)
    assert answer(back) == "version 1 is loaded again, and kept until unpinned"
    assert back.model.desired.held == ((3, "champion"), (2, "last_good"), (1, "standby"))
    assert look(back.model, instances, 1000).model == back.model


@pytest.mark.parametrize(
    ("action", "version", "why"),
    [
        ("retire", None, "name the version"),
        ("retire", 9, "no version 9 of flights was ever approved"),
        ("retire", 1, "version 1 is needed: it is champion, its release active; roll it back first"),
        ("retire", 2, "version 2 is needed: it is candidate"),
        ("restore", 1, "version 1 was not retired: it is champion"),
    ],
)
def test_what_is_needed_or_unknown_is_not_retired(action: str, version: int | None, why: str) -> None:
    refused = order(in_canary(), action, version)
    assert why in answer(refused, done=False)
    assert told(refused) == ["CommandAnswered"]


def test_what_never_was_champion_is_not_restored() -> None:
    model = said_of(approved(in_canary(), 3), 3, retiring="withdrawn")
    model = look(model, BOTH).model
    assert "version 3 was never kept as champion" in answer(order(model, "restore", 3), done=False)


def test_orders_are_obeyed_in_the_order_in_which_they_came() -> None:
    first, second = Order("a", "freeze", None, "", "ann"), Order("b", "promote", None, "", "bob")
    done = look(replace(in_canary(), orders=(first, second)), BOTH)
    said = [(x.command_id, x.done) for x in done.events if isinstance(x, e.CommandAnswered)]
    assert said == [("a", True), ("b", False)]


def test_an_order_is_obeyed_before_a_rule_acts() -> None:
    ready_to_promote = look(in_canary(), holding(1, 2, answered=50, errors=0), 60).model
    frozen = order(ready_to_promote, "freeze", None, holding(1, 2, answered=100, errors=0), 200)
    assert frozen.model.releases[2].step == 1
    assert after(200) == frozen.model.frozen.since  # type: ignore[union-attr]


def spent(model: Model) -> Model:
    return replace(model, spent=Hold("budget", "12 of 1,000 requests failed", START))


def test_while_an_error_budget_is_spent_nothing_starts_or_goes_on_but_it_goes_back() -> None:
    waiting = spent(approved(serving(), 2))
    assert look(waiting, BOTH, 1000).model == waiting
    goes_on = order(waiting, "resume", seconds=1000)
    assert answer(goes_on) == "releases go on, though 12 of 1,000 requests failed"
    assert goes_on.model.in_progress is not None and goes_on.model.spent is None

    half_way = spent(in_canary())
    plenty = holding(1, 2, answered=1000, errors=0)
    assert told(look(half_way, plenty, 5000)) == []
    assert only(look(half_way, holding(1, 2, answered=500, errors=500), 61), e.ReleaseRolledBack).version == 2
    # It was held beyond its deadline, and has all of its time again.
    resumed = order(half_way, "resume", seconds=5000).model
    assert look(resumed, BOTH, 5000 + 1799).model.in_progress is not None
    last_good = said_of(spent(promoted_to(1, 2)), 2, degraded="slow")
    assert only(look(last_good, BOTH), e.ReleaseRolledBack).champion_version == 1


@pytest.mark.parametrize("until", ["promote", "roll_back"])
def test_what_a_budget_held_has_all_of_its_time_again_once_the_champion_is_degraded(until: Any) -> None:
    held = in_canary()
    policy = POLICY.model_copy(update={"on_insufficient": until})
    releases = {**held.releases, 2: replace(held.releases[2], policy=policy)}
    model = replace(held, releases=releases, spent=Hold("budget", "spent", after(30)))
    model = said_of(model, 1, degraded="slow")
    at_once = look(model, BOTH, 5000)
    assert told(at_once) == [], "neither promoted nor rolled back by a deadline that passed while it could not go on"
    assert at_once.model.in_progress is not None and at_once.model.in_progress.deadline == after(5000 + 1800)
    assert told(look(at_once.model, BOTH, 5000 + 1799)) == [], "once, and not for ever"
    assert told(look(at_once.model, BOTH, 5000 + 1801)) != []


def test_what_takes_the_place_of_a_degraded_champion_is_not_held_by_a_budget() -> None:
    model = said_of(spent(approved(serving(), 2)), 1, degraded="slow")
    assert look(model, BOTH).model.in_progress is not None
    assert look(spent(approved(Model("flights"), 1)), holding(1)).model.champion is not None
