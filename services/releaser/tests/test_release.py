"""The rules one by one, each in the plainest case that shows it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.releaser.tests.releasing import (
    LIMITS,
    POLICY,
    after,
    approved,
    digest,
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
from shipway.releaser.counts import Loaded
from shipway.releaser.release import decide
from shipway.releaser.state import Model


def test_the_first_version_goes_straight_to_active() -> None:
    waiting = look(approved(Model("flights"), 1), [])
    assert waiting.model.desired.held == ((1, "candidate"),)
    assert waiting.model.desired.traffic == ()
    done = look(waiting.model, holding(1))
    assert told(done) == ["ReleaseProgressed", "ModelReleased", "ReleasePromoted"]
    assert done.model.desired.held == ((1, "champion"),)
    assert done.model.desired.traffic == ((1, 1.0),)
    assert only(done, e.ModelReleased).instances == ["p", "q"]
    assert only(done, e.ReleasePromoted).generation == done.model.generation == 2


def test_a_candidate_loads_without_traffic_and_then_gets_its_first_share() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    assert loading.desired.held == ((1, "champion"), (2, "candidate"))
    assert loading.desired.traffic == ((1, 1.0),)
    canary = look(loading, holding(1, 2))
    assert told(canary) == ["ReleaseProgressed", "ModelReleased"]
    assert canary.model.desired.traffic == ((1, 0.9), (2, 0.1))


def test_one_instance_that_still_loads_is_waited_for_until_the_deadline() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    most = [*holding(1, 2), *holding(1, names="r")]
    assert look(loading, most, 299).model == loading
    assert only(look(loading, most, 300), e.ModelReleased).instances == ["p", "q"]


def test_loading_that_is_never_done_is_rolled_back_with_what_instances_said() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    some = [*holding(1, 2, names="p"), *holding(1, names="q")]
    assert look(loading, some, 299).events == ()
    back = look(loading, some, 300)
    assert told(back) == ["ReleaseProgressed", "ReleaseRolledBack"]
    event = only(back, e.ReleaseRolledBack)
    assert event.reason == "ready on 1 of the 2 instances that it needs after 5m: q: has not begun to load it"
    assert (event.champion_version, event.champion_digest) == (1, digest(1))
    assert back.model.desired.held == ((1, "champion"),)


def test_too_many_failures_roll_back_at_once() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    broken = replace(holding(1, names="q")[0], loaded={2: Loaded(digest(2), "failed", "sha256 differs")})
    back = look(loading, [*holding(1, 2, names="p"), broken], 1)
    assert only(back, e.ReleaseRolledBack).reason == "can't be ready on 2 instances: q: failed: sha256 differs"


def test_an_instance_that_failed_to_load_it_is_not_waited_for_and_is_named() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    broken = replace(holding(1, names="q")[0], loaded={2: Loaded(digest(2), "failed", "sha256 differs")})
    went_on = look(loading, [*holding(1, 2, names="pr"), broken], 1)
    assert only(went_on, e.ModelReleased).instances == ["p", "r"]
    reason = "ready on 2 of 3 instances (q: failed: sha256 differs)"
    assert only(went_on, e.ReleaseProgressed).reason == reason
    still = [*holding(1, 2, names="pr"), broken, *holding(1, names="s")]
    assert look(loading, still, 1).model == loading, "s may still load it"


def test_another_artifact_of_that_number_is_not_the_version() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    other = [replace(i, loaded={**i.loaded, 2: Loaded(digest(99), "ready")}) for i in holding(1)]
    assert look(loading, other, 1).model == loading


def test_canary_goes_step_by_step_to_active() -> None:
    model = in_canary()
    busy = holding(1, 2, answered=10, errors=0)
    assert look(model, busy, 59).model.in_progress is not None
    assert look(model, busy, 59).events == ()
    second = look(model, busy, 60)
    assert told(second) == ["ReleaseProgressed"]
    assert second.model.desired.traffic == ((1, 0.5), (2, 0.5))
    assert look(second.model, busy, 120).events == (), "answers of the first step do not count in the second"
    last = look(second.model, holding(1, 2, answered=20, errors=0), 120)
    assert told(last) == ["ReleaseProgressed", "ReleasePromoted"]
    assert last.model.desired.held == ((2, "champion"), (1, "last_good"))
    assert last.model.desired.traffic == ((2, 1.0),)
    assert only(last, e.ReleasePromoted).previous_version == 1


def test_errors_roll_a_canary_back_and_it_drains_before_it_is_unloaded() -> None:
    back = look(in_canary(), holding(1, 2, answered=14, errors=6), 5)
    assert only(back, e.ReleaseRolledBack).reason == "12 of 40 answers failed (30.0%), the limit is 5.0%"
    assert back.model.desired.traffic == ((1, 1.0),)
    assert back.model.desired.held == ((1, "champion"), (2, "standby"))
    assert look(back.model, holding(1, 2), 6.9).model == back.model
    gone = look(back.model, holding(1, 2), 7)
    assert gone.model.desired.held == ((1, "champion"),)
    assert gone.model.generation == back.model.generation + 1


def test_errors_that_may_be_chance_are_waited_with_and_do_not_go_on() -> None:
    some = holding(1, 2, answered=18, errors=2)
    assert look(in_canary(), some, 5).events == ()
    assert look(in_canary(), some, 1799).events == (), "4 of 40 are more than the limit, though not shown to be"
    assert only(look(in_canary(), some, 1800), e.ReleaseRolledBack).reason.startswith("4 of 40 answers failed (10.0%)")
    diluted = holding(1, 2, answered=98, errors=2)
    assert look(in_canary(), diluted, 60).model.releases[2].step == 1


@pytest.mark.parametrize(("on_insufficient", "state"), [("promote", "canary"), ("roll_back", "rolled_back")])
def test_too_little_traffic_ends_in_the_default_of_the_spec(on_insufficient: str, state: str) -> None:
    policy = POLICY.model_copy(update={"on_insufficient": on_insufficient})
    model = look(approved(serving(), 2, policy), holding(1, 2)).model
    few = holding(1, 2, answered=1, errors=0)
    assert look(model, few, 1799).events == ()
    progressed = only(look(model, few, 1800), e.ReleaseProgressed)
    assert progressed.to_state == state
    assert "2 of the 20 answers needed to judge by after 30m" in progressed.reason


def test_too_little_traffic_that_fails_is_never_promoted() -> None:
    done = look(in_canary(), holding(1, 2, answered=1, errors=1), 1800)
    assert only(done, e.ReleaseRolledBack).reason == "2 of 4 answers failed (50.0%), the limit is 5.0%"


def test_a_candidate_that_is_ready_nowhere_is_never_promoted() -> None:
    model = look(in_canary(), holding(1, 2, answered=50, errors=0), 30).model
    assert look(model, holding(1), 61).events == ()
    assert "ready on only 0 of the 2 instances" in only(look(model, holding(1), 1800), e.ReleaseRolledBack).reason


def test_counts_of_a_restarted_instance_begin_again() -> None:
    model = look(in_canary(), holding(1, 2, answered=8, errors=0), 10).model
    restarted = holding(1, 2, started_at=after(20), answered=3, errors=0)
    assert look(model, restarted, 30).model.releases[2].evidence.requests == 22
    reloaded = holding(1, 2, answered=3, errors=0)
    assert look(model, reloaded, 30).model.releases[2].evidence.requests == 22
    more = holding(1, 2, started_at=after(20), answered=9, errors=0)
    assert look(model, more, 30).model.releases[2].evidence.requests == 34


def test_an_empty_canary_is_promoted_right_after_loading() -> None:
    policy = POLICY.model_copy(update={"canary": []})
    done = look(approved(serving(), 2, policy), holding(1, 2))
    assert told(done)[1:] == ["ReleaseProgressed", "ModelReleased", "ReleasePromoted"]
    assert only(done, e.ModelReleased).candidate_share == 1.0


def test_after_the_last_step_it_bakes_with_all_the_traffic_before_it_is_the_champion() -> None:
    policy = POLICY.model_copy(update={"canary": [0.5], "bake": timedelta(seconds=300)})
    model = look(approved(serving(), 2, policy), holding(1, 2)).model
    baking = look(model, holding(1, 2, answered=20, errors=0), 60)
    assert told(baking) == ["ReleaseProgressed"]
    assert baking.model.desired.traffic == ((2, 1.0),)
    assert baking.model.desired.held == ((1, "champion"), (2, "candidate"))
    fine = holding(1, 2, answered=50, errors=0)
    assert look(baking.model, fine, 359).events == ()
    assert only(look(baking.model, fine, 360), e.ReleasePromoted).previous_version == 1
    back = look(baking.model, holding(1, 2, answered=30, errors=20), 100)
    assert back.model.desired.traffic == ((1, 1.0),)


def test_baking_alone_is_a_canary_of_all() -> None:
    policy = POLICY.model_copy(update={"canary": [], "bake": timedelta(seconds=30)})
    baking = look(approved(serving(), 2, policy), holding(1, 2))
    assert only(baking, e.ModelReleased).candidate_share == 1.0
    assert baking.model.desired.traffic == ((2, 1.0),)


def test_a_newer_version_supersedes_waiting_ones_but_not_one_half_way() -> None:
    model = approved(approved(in_canary(), 3), 4)
    done = look(model, holding(1, 2))
    assert told(done) == ["ReleaseProgressed", "ReleaseSuperseded"]
    assert only(done, e.ReleaseSuperseded) == e.ReleaseSuperseded(
        model="flights", version=3, release_id="flights-3", by_version=4
    )
    assert done.model.in_progress is not None
    assert done.model.in_progress.version == 2
    assert done.model.generation == model.generation


def test_a_version_older_than_the_champion_is_superseded_by_it_at_once() -> None:
    done = look(approved(serving(5), 3), holding(5))
    assert only(done, e.ReleaseSuperseded).by_version == 5


def test_a_degraded_champion_gives_way_to_the_last_good_in_one_step() -> None:
    model = promoted_to(1, 2, 3)
    assert model.desired.held == ((3, "champion"), (2, "last_good"), (1, "standby"))
    back = look(said_of(model, 3, degraded="20 of 100 failed"), holding(1, 2, 3))
    assert told(back) == ["ReleaseProgressed", "ReleaseRolledBack"]
    event = only(back, e.ReleaseRolledBack)
    assert (event.version, event.champion_version, event.reason) == (3, 2, "degraded: 20 of 100 failed")
    assert back.model.desired.traffic == ((2, 1.0),)
    assert back.model.desired.held == ((2, "champion"), (1, "last_good"), (3, "standby"))


def test_a_degraded_champion_with_nothing_to_go_back_to_asks_for_a_training_once() -> None:
    asked = look(said_of(promoted_to(1), 1, degraded="slow"), holding(1))
    request = only(asked, e.TrainingRequested)
    assert (request.request_id, request.requested_by) == ("replace-flights-1", "shipway/releaser")
    assert request.reason == "version 1 is degraded, with nothing to go back to: slow"
    assert asked.model.desired == promoted_to(1).desired, "it answers until there is a better one"
    assert look(asked.model, holding(1), 1000).events == ()
    coming = said_of(in_canary(), 1, degraded="slow")
    assert look(coming, holding(1, 2)).events == (), "the next version is under way"


def test_trainings_in_the_place_of_champions_that_fail_one_after_another_are_a_pause_apart() -> None:
    """What is trained may be no better: it must not become a loop of trainings."""
    patient = replace(LIMITS, replacement_pause=timedelta(hours=1))
    policy = POLICY.model_copy(update={"canary": []})
    first = decide(said_of(promoted_to(1), 1, degraded="slow"), holding(1), after(0), patient)
    assert only(first, e.TrainingRequested).request_id == "replace-flights-1"
    second = decide(approved(first.model, 2, policy), holding(1, 2), after(60), patient).model
    failed = said_of(second, 2, degraded="slow too")
    assert decide(failed, holding(1, 2), after(3599), patient).events == ()
    asked = decide(failed, holding(1, 2), after(3600), patient)
    assert only(asked, e.TrainingRequested).request_id == "replace-flights-2"


def test_a_degraded_version_is_never_the_last_good_one_again() -> None:
    model = look(said_of(promoted_to(1), 1, degraded="slow"), holding(1)).model
    policy = POLICY.model_copy(update={"canary": []})
    done = look(approved(model, 2, policy), holding(1, 2))
    assert done.model.desired.held == ((2, "champion"), (1, "standby"))


def test_a_degraded_champion_stays_until_the_last_good_is_ready() -> None:
    model = said_of(promoted_to(1, 2), 2, degraded="slow")
    assert look(model, holding(2)).model == model
    assert only(look(model, holding(1, 2)), e.ReleaseRolledBack).champion_version == 1


def test_a_degraded_candidate_is_rolled_back() -> None:
    back = look(said_of(in_canary(), 2, degraded="drift"), holding(1, 2))
    assert only(back, e.ReleaseRolledBack).reason == "degraded: drift"


def test_a_retired_standby_goes_and_what_is_needed_is_deferred_once() -> None:
    model = promoted_to(1, 2, 3)
    gone = look(said_of(model, 1, retiring="age"), holding(1, 2, 3), 10)
    assert gone.model.desired.held == ((3, "champion"), (2, "last_good"))
    assert gone.events == ()
    kept = look(said_of(model, 3, retiring="age"), holding(1, 2, 3))
    assert only(kept, e.RetirementDeferred).reason == "it is the champion"
    assert kept.model.generation == model.generation
    assert look(kept.model, holding(1, 2, 3)).events == ()


def test_a_deferred_retirement_happens_once_the_version_is_not_needed() -> None:
    """As the last good version it is needed still; as the one before that it is not."""
    policy = POLICY.model_copy(update={"canary": []})
    deferred = look(said_of(promoted_to(1), 1, retiring="age"), holding(1)).model
    replaced = look(approved(deferred, 2, policy), holding(1, 2)).model
    assert look(replaced, holding(1, 2), 100).model.desired.held == ((2, "champion"), (1, "last_good"))
    again = look(approved(replaced, 3, policy), holding(1, 2, 3), 100)
    assert told(again).count("RetirementDeferred") == 0, "it was said once"
    assert again.model.desired.held == ((3, "champion"), (2, "last_good"))


def test_the_last_good_version_is_kept_whatever_the_champion_does() -> None:
    model = said_of(promoted_to(1, 2), 1, retiring="age")
    kept = look(model, holding(1, 2))
    assert only(kept, e.RetirementDeferred).reason.startswith("it is the last good version")
    back = look(said_of(kept.model, 2, degraded="slow"), holding(1, 2), 1000)
    assert only(back, e.ReleaseRolledBack).champion_version == 1


def test_what_is_retired_is_kept_while_the_champion_is_ready_nowhere() -> None:
    model = said_of(promoted_to(1, 2, 3), 1, retiring="age")
    kept = look(model, holding(1, 2))
    assert only(kept, e.RetirementDeferred).reason == "the champion is not ready on any live instance"
    assert look(kept.model, holding(1, 2, 3), 2).model.desired.held == ((3, "champion"), (2, "last_good"))


def test_the_oldest_on_standby_go_when_there_are_too_many() -> None:
    model = promoted_to(1, 2, 3, 4)
    few = decide(model, holding(1, 2, 3, 4), after(2), replace(LIMITS, standby=1)).model
    assert few.desired.held == ((4, "champion"), (3, "last_good"), (2, "standby"))


def test_a_version_retired_while_it_waits_is_never_loaded() -> None:
    done = look(said_of(approved(in_canary(), 3), 3, retiring="withdrawn"), holding(1, 2))
    assert "retired before its release began" in only(done, e.ReleaseRolledBack).reason


def test_a_release_goes_on_from_what_was_stored() -> None:
    model = look(in_canary(), holding(1, 2, answered=10, errors=0), 30).model
    assert (model.releases[2].evidence.answered, model.releases[2].evidence.against) == (20, 1)
    assert look(model, holding(1, 2, answered=11, errors=0), 60).model.releases[2].step == 1
