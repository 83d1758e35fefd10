"""The releaser's decisions: how a version takes over, is rolled back, and goes.

    approved -> loading -> shadow -> canary (step by step) -> active | rolled_back        approved -> superseded

Level-triggered: ``decide`` looks at a model as it is and takes every step that is due, however it came to be
so; calling it again changes nothing. The steps are the functions of RULES, each for one rule: here, in ``proving``
and in ``departure``; what operators command is in ``orders``. Shadow and canary are there where the model file asks
for them. No state waits for ever: loading, shadow and every canary step have a deadline, a waiting release waits for
those of one other, and what waits for a person has a limit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from shipway.contract import events as e
from shipway.releaser import departure, orders, proving
from shipway.releaser.counts import Instance
from shipway.releaser.departure import with_version
from shipway.releaser.desired import wanted
from shipway.releaser.evidence import compared, readiness
from shipway.releaser.state import TRIED, Cause, Limits, Model, ReleaseEvent, Version
from shipway.releaser.steps import (
    Change,
    Situation,
    in_role,
    on_hold,
    resumed,
    reverted,
    rolled_back,
    started,
    superseded,
    with_release,
)

# For each version and order: it may go through every state, and its release through every canary step.
_STEPS_AT_MOST = 40


@dataclass(frozen=True)
class Decision:
    """The model afterwards and what is to be told, in order. Equal to the model before: nothing to do."""

    model: Model
    events: tuple[ReleaseEvent, ...]


def decide(model: Model, instances: Sequence[Instance], now: datetime, limits: Limits) -> Decision:
    """Every step that is due at ``now``, given the live instances.

    Raises:
        AssertionError: the rules do not come to rest, which is a bug in them.
    """
    current = _with_evidence(model, instances)
    said: list[ReleaseEvent] = []
    for _ in range(_STEPS_AT_MOST * (1 + len(model.versions) + len(model.orders))):
        change = _next(Situation(current, instances, now, limits))
        if change is None:
            return Decision(current, tuple(said))
        current = _with_evidence(_settled(current, change.model, now), instances)
        said += [_stamped(event, current.generation) for event in change.events]
    raise AssertionError(f"the rules do not come to rest over {model.name}: {said[-3:]}")


def _next(at: Situation) -> Change | None:
    return next((change for rule in RULES if (change := rule(at)) is not None), None)


def _with_evidence(model: Model, instances: Sequence[Instance]) -> Model:
    release = model.in_progress
    if release is None or release.state not in TRIED:
        return model
    evidence = compared(release.evidence, model, model.versions[release.version], instances)
    return with_release(model, replace(release, evidence=evidence)) if evidence != release.evidence else model


def _settled(before: Model, after: Model, now: datetime) -> Model:
    """The model with its desired state; the generation grows exactly where that changes."""
    desired = wanted(after)
    if desired == before.desired:
        return after
    lost = {number for number, _ in before.desired.traffic} - {number for number, _ in desired.traffic}
    versions = {n: replace(v, routed_until=now) if n in lost else v for n, v in after.versions.items()}
    return replace(after, versions=versions, desired=desired, generation=before.generation + 1)


def _stamped(event: ReleaseEvent, generation: int) -> ReleaseEvent:
    if isinstance(event, e.ReleaseProgressed | e.ModelReleased | e.ReleasePromoted | e.ReleaseRolledBack):
        return msgspec.structs.replace(event, generation=generation)
    return event


# --- rules; RULES has them in the order in which they apply ---


def _degraded_candidate(at: Situation) -> Change | None:
    release = at.model.in_progress
    if release is None:
        return None
    degraded = at.model.versions[release.version].degraded
    return rolled_back(at, release, Cause(f"degraded: {degraded}", "rule degraded")) if degraded is not None else None


def _degraded_champion(at: Situation) -> Change | None:
    """Back to the last good version in one step, as soon as that is ready; without one it is only on record."""
    champion = at.model.champion
    fallback = at.model.last_good
    if champion is None or champion.degraded is None or fallback is None or fallback.degraded is not None:
        return None
    release = at.model.releases[champion.number]
    if not readiness(fallback, at.instances).enough(release.policy.min_instances):
        return None
    return reverted(at, release, fallback.number, Cause(f"degraded: {champion.degraded}", "rule degraded"))


def _last_good_is_good(at: Situation) -> Change | None:
    """A degraded version is nothing to go back to; the newest sound one on standby takes its place."""
    good = at.model.last_good
    if good is not None and good.degraded is None:
        return None
    model = at.model if good is None else in_role(at.model, good.number, "standby")
    sound = [v for v in model.with_role("standby") if v.degraded is None and v.retiring is None]
    if sound:
        model = in_role(model, sound[0].number, "last_good")
    return Change(model) if model != at.model else None


def _replacement(at: Situation) -> Change | None:
    """A degraded champion that can't go back: a training is asked for, once, unless another version comes.

    What is trained may fail in its turn: so trainings that are asked for one after another are a pause apart.
    """
    champion = at.model.champion
    if champion is None or champion.degraded is None or champion.replacement_asked:
        return None
    why = _no_way_back(at, champion)
    if why is None:
        return None
    if at.model.in_progress is not None or at.model.with_role("waiting"):
        return None
    last = at.model.replacement_asked_at
    if last is not None and at.now < last + at.limits.replacement_pause:
        return None
    asked = e.TrainingRequested(
        model=at.model.name,
        request_id=e.replacement_request(at.model.name, champion.number),
        reason=f"version {champion.number} is degraded, {why}: {champion.degraded}",
        requested_by="shipway/releaser",
    )
    model = replace(at.model, replacement_asked_at=at.now)
    return Change(with_version(model, replace(champion, replacement_asked=True)), (asked,))


def _no_way_back(at: Situation, champion: Version) -> str | None:
    """Why nothing can take a degraded champion's place, in words; None: the last good version may, now or soon."""
    fallback = at.model.last_good
    if fallback is None:
        return "with nothing to go back to"
    wanted, found = at.model.releases[champion.number].policy.min_instances, readiness(fallback, at.instances)
    if not at.instances or not found.out_of_reach(wanted):
        return None
    return f"and the last good version, {fallback.number}, can't be ready on enough live instances ({found.in_words()})"


def _clock_anew(at: Situation) -> Change | None:
    """A release that a spent budget held, and holds no more as the champion is degraded, has all of its time again."""
    release, spent = at.model.in_progress, at.model.spent
    if release is None or spent is None or release.deadline is None or on_hold(at.model, release) is not None:
        return None
    anew = resumed(at, release)
    assert anew.deadline is not None, "a release under way has a deadline"
    began = release.deadline - (anew.deadline - at.now)
    return Change(with_release(at.model, anew)) if began < spent.since and anew != release else None


def _passed_over(at: Situation) -> Change | None:
    """A waiting release gives way to a newer one that waits for nobody, and to a champion that is newer than it."""
    free = [v.number for v in at.model.with_role("waiting") if at.model.releases[v.number].hold is None]
    champion = [at.model.champion.number] if at.model.champion is not None else []
    by_version = max(free[:1] + champion, default=0)
    for version in at.model.with_role("waiting"):
        if version.number < by_version:
            return superseded(at, at.model.releases[version.number], by_version)
    return None


def _start(at: Situation) -> Change | None:
    waiting = [v for v in at.model.with_role("waiting") if at.model.releases[v.number].hold is None]
    if at.model.in_progress is not None or at.model.stopped is not None or not waiting:
        return None
    return started(at, at.model.releases[waiting[0].number], Cause("its turn has come", "rule start"))


RULES: tuple[Callable[[Situation], Change | None], ...] = (
    orders.ordered,
    _degraded_candidate,
    _degraded_champion,
    _last_good_is_good,
    _replacement,
    _clock_anew,
    departure.retired_while_waiting,
    _passed_over,
    proving.held_too_long,
    proving.loading,
    proving.trial,
    _start,
    departure.retirement,
    departure.departure,
)
