"""Bugs planted in the releaser's rules, one at a time: the machine of release_machine finds each of them."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from services.releaser.tests.release_machine import Releases
from shipway.releaser import departure, desired, evidence, proving, release, release_orders, steps, version_orders
from shipway.releaser.answers import cause_of
from shipway.releaser.state import IN_PROGRESS, Cause

pytestmark = pytest.mark.slow

Original = Callable[..., Any]
BUDGET = settings(
    max_examples=600, stateful_step_count=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
)


def any_artifact_will_do(original: Original) -> Original:
    return lambda version, instances: original(
        version,
        [
            replace(
                i,
                loaded={
                    n: replace(v, digest=version.digest) if n == version.number else v for n, v in i.loaded.items()
                },
            )
            for i in instances
        ],
    )


def every_instance_is_waited_for(original: Original) -> Original:
    return lambda version, instances: original(version, [replace(i, only=None) for i in instances])


def one_instance_is_a_quorum(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        found = at.model.in_progress
        if found is None:
            return None
        lax = replace(found, policy=found.policy.model_copy(update={"min_instances": 1}))
        return original(replace(at, model=steps.with_release(at.model, lax)))

    return mutant


def the_generation_stays(original: Original) -> Original:
    return lambda before, after, now: replace(original(before, after, now), generation=before.generation)


def the_champion_before_is_let_go(original: Original) -> Original:
    def mutant(at: Any, found: Any, cause: Any) -> Any:
        change, previous = original(at, found, cause), at.model.champion
        return replace(change, model=steps.in_role(change.model, previous.number, "leaving")) if previous else change

    return mutant


def a_rolled_back_version_is_dropped_at_once(original: Original) -> Original:
    def mutant(at: Any, found: Any, cause: Any) -> Any:
        change = original(at, found, cause)
        return replace(change, model=steps.in_role(change.model, found.version, "gone"))

    return mutant


def back_to_what_may_not_be_ready(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        champion, good = at.model.champion, at.model.last_good
        if champion is None or champion.degraded is None or good is None or good.degraded is not None:
            return None
        return steps.reverted(at, at.model.releases[champion.number], good.number, Cause("degraded", "rule"))

    return mutant


def what_waits_for_approval_starts(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        free = {n: replace(r, hold=None) for n, r in at.model.releases.items()}
        return original(replace(at, model=replace(at.model, releases=free)))

    return mutant


def a_release_starts_beside_another(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        waiting = at.model.with_role("waiting")
        free = [v for v in waiting if at.model.releases[v.number].hold is None and at.model.frozen is None]
        return steps.started(at, at.model.releases[free[0].number], Cause("now", "rule")) if free else None

    return mutant


def loading_has_no_deadline(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        found = at.model.in_progress
        late = found is not None and found.deadline is not None and at.now >= found.deadline
        return None if late else original(at)

    return mutant


def nothing_drains(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        for version in at.model.with_role("leaving"):
            return steps.Change(steps.in_role(at.model, version.number, "gone"))
        return original(at)

    return mutant


def nothing_is_needed(original: Original) -> Original:
    return lambda at, version: None


def the_last_good_is_not_needed(original: Original) -> Original:
    def mutant(at: Any, version: Any) -> Any:
        return original(at, replace(version, role="standby") if version.role == "last_good" else version)

    return mutant


def a_shadow_answers(original: Original) -> Original:
    """It gets a share of the traffic itself."""

    def mutant(model: Any) -> Any:
        found = original(model)
        return replace(found, traffic=(*found.traffic, found.shadow)) if found.shadow else found

    return mutant


def a_shadow_has_no_end(original: Original) -> Original:
    def mutant(at: Any) -> Any:
        found = at.model.in_progress
        return None if found is not None and found.state == "shadow" else original(at)

    return mutant


def a_freeze_is_not_seen(original: Original) -> Original:
    return lambda model, found: found.hold


def a_hold_is_not_seen(original: Original) -> Original:
    return lambda model, found: model.frozen if found.state in IN_PROGRESS else None


def shares_are_not_split(original: Original) -> Original:
    def mutant(model: Any) -> Any:
        found = original(model)
        return replace(found, traffic=tuple((number, 1.0) for number, _ in found.traffic))

    return mutant


def promoted_by_hand_unready(original: Original) -> Original:
    def mutant(at: Any, order: Any) -> Any:
        found = at.model.in_progress
        if found is None or order.version not in (None, found.version) or at.model.frozen is not None:
            return original(at, order)
        return steps.promoted(at, found, cause_of(order)), "done"

    return mutant


def the_pinned_are_retired(original: Original) -> Original:
    return lambda at, version: original(at, replace(version, pinned=None))


def a_hold_has_no_end(original: Original) -> Original:
    return lambda at: None


def restored_as_champion(original: Original) -> Original:
    """What comes back answers at once."""

    def mutant(at: Any, order: Any) -> Any:
        version = at.model.versions.get(order.version or 0)
        if version is None or version.role in ("champion", "candidate"):
            return original(at, order)
        model = steps.in_role(at.model, version.number, "champion")
        champion = at.model.champion
        return steps.Change(steps.in_role(model, champion.number, "standby") if champion else model), "done"

    return mutant


PLANTED: tuple[tuple[Original, Callable[[Original], Original]], ...] = (
    (evidence.readiness, any_artifact_will_do),
    (evidence.readiness, every_instance_is_waited_for),
    (proving.loading, one_instance_is_a_quorum),
    (release._settled, the_generation_stays),
    (steps.promoted, the_champion_before_is_let_go),
    (steps.rolled_back, a_rolled_back_version_is_dropped_at_once),
    (release._degraded_champion, back_to_what_may_not_be_ready),
    (release._start, what_waits_for_approval_starts),
    (release._start, a_release_starts_beside_another),
    (proving.loading, loading_has_no_deadline),
    (departure.departure, nothing_drains),
    (departure.needed_for, nothing_is_needed),
    (departure.needed_for, the_last_good_is_not_needed),
    (desired.wanted, a_shadow_answers),
    (proving.trial, a_shadow_has_no_end),
    (steps.on_hold, a_freeze_is_not_seen),
    (steps.on_hold, a_hold_is_not_seen),
    (desired.wanted, shares_are_not_split),
    (release_orders.promote, promoted_by_hand_unready),
    (departure.needed_for, the_pinned_are_retired),
    (proving.held_too_long, a_hold_has_no_end),
    (version_orders.restore, restored_as_champion),
)


def plant(monkeypatch: pytest.MonkeyPatch, original: Original, mutant: Original) -> None:
    """Puts the mutant wherever the services' modules hold the original: names, and tables of rules and actions."""
    planted = 0
    for name, module in list(sys.modules.items()):
        if not name.startswith(("shipway.releaser", "shipway.monitor")):
            continue
        for key, value in list(vars(module).items()):
            swapped: Any = value
            if value is original:
                swapped = mutant
            elif isinstance(value, tuple) and original in value:
                swapped = tuple(mutant if item is original else item for item in value)
            elif isinstance(value, dict) and not key.startswith("__") and original in value.values():
                swapped = {k: mutant if item is original else item for k, item in value.items()}
            if swapped is not value:
                monkeypatch.setattr(module, key, swapped)
                planted += 1
    assert planted, "the bug is nowhere"


@pytest.mark.parametrize(("original", "bug"), PLANTED, ids=[bug.__name__ for _, bug in PLANTED])
def test_a_planted_bug_is_found(
    original: Original, bug: Callable[[Original], Original], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of the machine's assertions finds it first depends on the run; a crash would be no finding."""
    plant(monkeypatch, original, bug(original))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Releases, settings=BUDGET)
