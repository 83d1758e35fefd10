"""Bugs planted in the rules of retirement, the monitor's and the releaser's: the machine over both finds each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from services.releaser.tests.retirement_machine import Retirements
from services.releaser.tests.test_planted_bugs import (
    nothing_is_needed,
    plant,
    the_last_good_is_not_needed,
    the_pinned_are_retired,
)
from shipway.contract import events as e
from shipway.monitor import retirement, views
from shipway.releaser import departure, release, steps, version_orders

pytestmark = pytest.mark.slow

Original = Callable[..., Any]
BUDGET = settings(
    max_examples=300, stateful_step_count=30, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
)


def use_is_not_seen(original: Original) -> Original:
    return lambda versions, *rest: original([replace(v, last_used=None) for v in versions], *rest)


def what_is_needed_is_named(original: Original) -> Original:
    def mutant(versions: Any, *rest: Any) -> Any:
        return original([replace(v, state="standby") if v.state == "last_good" else v for v in versions], *rest)

    return mutant


def the_last_is_named(original: Original) -> Original:
    """A model without a champion keeps nothing."""

    def mutant(versions: Any, *rest: Any) -> Any:
        kept = [replace(v, state="standby") if v.state == "champion" else v for v in versions]
        return original([replace(kept[0], version=99, state="champion"), *kept] if kept else kept, *rest)

    return mutant


def it_is_named_again_and_again(original: Original) -> Original:
    return lambda versions, *rest: original([replace(v, asked=False) for v in versions], *rest)


def nothing_is_ever_named(original: Original) -> Original:
    return lambda *rest: []


def what_failed_stays(original: Original) -> Original:
    return lambda versions, *rest: original([replace(v, degraded=False) for v in versions], *rest)


def a_deferral_is_for_ever(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        kept = {n: replace(v, retiring=None) if v.deferred else v for n, v in at.model.versions.items()}
        return original(replace(at, model=replace(at.model, versions=kept)))

    return mutant


def a_deferral_is_not_said(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        change = original(at)
        said = change is not None and any(isinstance(x, e.RetirementDeferred) for x in change.events)
        return None if said else change

    return mutant


def what_is_restored_is_to_go_still(original: Original) -> Original:
    def mutant(at: Any, order: Any) -> Any:
        change, answer = original(at, order)
        back = replace(change.model.versions[order.version], retiring="old")
        return replace(change, model=departure.with_version(change.model, back)), answer

    return mutant


def a_restoration_is_not_heard_of(original: Original) -> Original:
    return lambda event: None if isinstance(event, e.CommandAnswered) else original(event)


def another_goes_in_its_place(original: Original) -> Original:
    """The oldest version that is held goes, whichever was retired."""

    def mutant(at: Any) -> Any:
        change, held = original(at), at.model.with_role("standby")
        if change is None or change.events or not held:
            return change
        return steps.Change(steps.in_role(at.model, held[-1].number, "leaving"))

    return mutant


def a_degraded_one_is_gone_back_to(original: Original) -> Original:
    """What failed is the last good one, and so is never let go."""

    def mutant(at: Any) -> Any:
        failed = [v for v in at.model.with_role("standby") if v.degraded is not None]
        if failed and at.model.last_good is None:
            return steps.Change(steps.in_role(at.model, failed[0].number, "last_good"))
        return None

    return mutant


PLANTED: tuple[tuple[Original, Callable[[Original], Original]], ...] = (
    (retirement.to_retire, use_is_not_seen),
    (retirement.to_retire, what_is_needed_is_named),
    (retirement.to_retire, the_last_is_named),
    (retirement.to_retire, it_is_named_again_and_again),
    (retirement.to_retire, nothing_is_ever_named),
    (retirement.to_retire, what_failed_stays),
    (departure.needed_for, nothing_is_needed),
    (departure.needed_for, the_last_good_is_not_needed),
    (departure.needed_for, the_pinned_are_retired),
    (departure.retirement, a_deferral_is_for_ever),
    (departure.retirement, a_deferral_is_not_said),
    (departure.retirement, another_goes_in_its_place),
    (version_orders.restore, what_is_restored_is_to_go_still),
    (views.version_change, a_restoration_is_not_heard_of),
    (release._last_good_is_good, a_degraded_one_is_gone_back_to),
)


@pytest.mark.parametrize(("original", "bug"), PLANTED, ids=[bug.__name__ for _, bug in PLANTED])
def test_a_planted_bug_is_found(
    original: Original, bug: Callable[[Original], Original], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which assertion finds it first depends on the run; a crash would be no finding."""
    plant(monkeypatch, original, bug(original))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Retirements, settings=BUDGET)
