"""Instances of an image that brings its versions: they count where they can hold a version, and nowhere else."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from services.releaser.tests.releasing import (
    LIMITS,
    POLICY,
    START,
    after,
    approved,
    digest,
    holding,
    look,
    only,
    promoted_to,
    said_of,
    serving,
)
from shipway.contract import events as e
from shipway.releaser.counts import Instance, Loaded
from shipway.releaser.evidence import live_instances, readiness
from shipway.releaser.release import decide
from shipway.releaser.state import Model, Order, Version


def of_image(number: int, *held: int, names: str = "i") -> list[Instance]:
    """Instances of an image with that version, which hold ``held``."""
    return [replace(i, only=frozenset({digest(number)})) for i in holding(*held, names=names)]


def test_what_an_instance_says_of_its_image_is_heard_and_an_older_one_says_nothing() -> None:
    older = e.Presence(instance="p", url="http://p", started_at=START, library_versions={}, generations={}, versions=[])
    said = msgspec.structs.replace(older, instance="i", only=[digest(3)])
    image, ordinary = live_instances([(said, START), (older, START)], "flights", START, timedelta(seconds=1))
    assert image.can_hold(digest(3)) and not image.can_hold(digest(2))
    assert ordinary.only is None and ordinary.can_hold(digest(2))
    nothing = replace(image, only=frozenset())
    assert not nothing.can_hold(digest(3)), "an empty list is no leave to hold anything"


@pytest.mark.parametrize("others", [of_image(1, 1), of_image(9), of_image(9, names="ijk")])
def test_a_release_does_not_wait_for_instances_of_other_images(others: list[Instance]) -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    went_on = look(loading, [*holding(1, 2), *others])
    assert only(went_on, e.ModelReleased).instances == ["p", "q"]
    assert only(went_on, e.ReleaseProgressed).reason == "ready on 2 of 2 instances"


def test_it_waits_for_an_instance_whose_image_has_the_version() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    assert look(loading, [*holding(1, 2), *of_image(2)], 299).model == loading
    assert only(look(loading, [*of_image(2, 2), *holding(1, 2)], 299), e.ModelReleased).instances == ["i", "p", "q"]


def test_a_release_is_carried_by_instances_of_its_image_alone() -> None:
    """The champion is on instances of its own image; nobody reads the object store."""
    before = of_image(1, 1, names="ab")
    model = look(approved(Model("flights"), 1), before).model
    assert model.champion is not None and model.champion.number == 1
    loading = look(approved(model, 2), before).model
    assert loading.desired.traffic == ((1, 1.0),)
    canary = look(loading, [*before, *of_image(2, 2, names="cd")])
    assert only(canary, e.ModelReleased).instances == ["c", "d"]
    assert canary.model.desired.traffic == ((1, 0.9), (2, 0.1))


def test_instances_of_both_kinds_make_up_the_quorum() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    assert look(loading, [*holding(1, 2, names="p"), *of_image(2, 2)]).model.in_progress != loading.in_progress


def test_a_release_that_no_live_instance_can_hold_ends_and_says_so() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    back = look(loading, of_image(1, 1, names="ij"), 300)
    reason = "ready on 0 of the 2 instances that it needs after 5m: no other instance is live"
    assert only(back, e.ReleaseRolledBack).reason == f"{reason}; not counted: 2 of an image with other versions"


def test_a_damaged_bundle_in_an_image_counts_as_a_failure() -> None:
    loading = look(approved(serving(), 2), holding(1)).model
    broken = replace(of_image(2)[0], loaded={2: Loaded(digest(2), "failed", "model.txt is damaged")})
    back = look(loading, [broken, *of_image(1, 1, names="ab")])
    assert "i: failed: model.txt is damaged; not counted: 2" in only(back, e.ReleaseRolledBack).reason


def test_a_degraded_champion_of_an_image_gives_way_to_a_last_good_that_its_instances_can_not_hold() -> None:
    model = said_of(promoted_to(1, 2), 2, degraded="errors")
    instances = [*of_image(2, 2, names="ijk"), *holding(1, 2, names="p")]
    back = look(model, instances)
    assert back.model.champion is not None and back.model.champion.number == 1
    nowhere = look(model, of_image(2, 2, names="ijk"))
    assert nowhere.model.champion is not None and nowhere.model.champion.number == 2, "make before break"


def test_a_degraded_champion_whose_last_good_nobody_can_hold_is_not_kept_in_silence() -> None:
    model = said_of(promoted_to(1, 2), 2, degraded="20 of 100 failed")
    image = of_image(2, 2, names="ijk")
    asked = look(model, image)
    reason = (
        "version 2 is degraded, and the last good version, 1, can't be ready on enough live instances "
        "(no other instance is live; not counted: 3 of an image with other versions): 20 of 100 failed"
    )
    assert only(asked, e.TrainingRequested).reason == reason
    assert look(asked.model, image).events == (), "once"
    failed = [replace(i, loaded={**i.loaded, 1: Loaded(digest(1), "failed", "no such object")}) for i in holding(2)]
    assert "p: failed: no such object" in only(look(model, failed), e.TrainingRequested).reason
    assert look(model, [*image, *holding(2, names="p")]).events == (), "p may load it yet"
    assert look(model, []).events == (), "nobody is seen"
    back = look(asked.model, [*image, *holding(1, 2, names="p")])
    assert only(back, e.ReleaseRolledBack).champion_version == 1, "it goes back once somebody has it all the same"


def test_an_operator_goes_back_by_the_same_count() -> None:
    order = Order("c1", "roll_back", None, "complaints", "ann")
    model = replace(promoted_to(1, 2), orders=(order,))
    done = decide(model, [*of_image(2, 2, names="ijk"), *holding(1, 2, names="p")], after(0), LIMITS)
    assert only(done, e.CommandAnswered).done and done.model.champion is not None and done.model.champion.number == 1
    refused = decide(model, of_image(2, 2, names="ijk"), after(0), LIMITS)
    assert not only(refused, e.CommandAnswered).done


def test_another_version_under_the_same_number_is_not_the_images() -> None:
    version = Version(2, digest(7))
    found = readiness(version, of_image(2, 2))
    assert (found.able(), found.elsewhere) == (0, 1)
    assert POLICY.min_instances > found.possible() == 0
