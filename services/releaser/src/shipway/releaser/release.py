"""The releaser's decisions: how a version takes over, is rolled back, and goes.

    approved -> loading -> canary (step by step) -> active | rolled_back        approved -> superseded

Level-triggered: ``decide`` looks at a model as it is and takes every step that is due, however it came to be
so; calling it again changes nothing. The steps are the functions of RULES, each for one rule. No state waits
for ever: loading and every canary step have a deadline, and a waiting release waits for those of one other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from shipway.contract import events as e
from shipway.contract.spec import format_duration
from shipway.releaser.desired import wanted
from shipway.releaser.evidence import observed, readiness
from shipway.releaser.state import Instance, Limits, Model, ReleaseEvent, Version
from shipway.releaser.steps import (
    Change,
    Situation,
    in_role,
    promoted,
    reverted,
    rolled_back,
    started,
    step_limit,
    stepped,
    superseded,
    with_release,
)


@dataclass(frozen=True)
class Decision:
    """The model afterwards and what is to be told, in order. Equal to the model before: nothing to do."""

    model: Model
    events: tuple[ReleaseEvent, ...]


def decide(model: Model, instances: Sequence[Instance], now: datetime, limits: Limits) -> Decision:
    """Every step that is due at ``now``, given the live instances."""
    current = _with_evidence(model, instances)
    said: list[ReleaseEvent] = []
    while (change := _next(Situation(current, instances, now, limits))) is not None:
        current = _settled(current, change.model, now)
        said += [_stamped(event, current.generation) for event in change.events]
    return Decision(current, tuple(said))


def _next(at: Situation) -> Change | None:
    return next((change for rule in RULES if (change := rule(at)) is not None), None)


def _with_evidence(model: Model, instances: Sequence[Instance]) -> Model:
    release = model.in_progress
    if release is None or release.state != "canary":
        return model
    evidence = observed(release.evidence, model.versions[release.version], instances)
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
    if isinstance(event, e.ReleaseSuperseded | e.RetirementDeferred):
        return event
    return msgspec.structs.replace(event, generation=generation)


# --- rules, in the order in which they apply ---


def _degraded_candidate(at: Situation) -> Change | None:
    release = at.model.in_progress
    if release is None:
        return None
    degraded = at.model.versions[release.version].degraded
    return rolled_back(at, release, f"degraded: {degraded}") if degraded is not None else None


def _degraded_champion(at: Situation) -> Change | None:
    """Back to the last good version in one step, as soon as that is ready; without one it is only on record."""
    champion = at.model.champion
    fallback = at.model.last_good
    if champion is None or champion.degraded is None or fallback is None or fallback.degraded is not None:
        return None
    ready = readiness(fallback, at.instances).ready
    release = at.model.releases[champion.number]
    if not ready or len(ready) < min(release.policy.min_instances, len(at.instances)):
        return None
    return reverted(at, release, fallback.number, f"degraded: {champion.degraded}")


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


def _passed_over(at: Situation) -> Change | None:
    """A waiting release gives way to a newer approved one, and to a champion that is newer than it."""
    newest = [v.number for v in at.model.with_role("waiting")][:1]
    champion = [at.model.champion.number] if at.model.champion is not None else []
    by_version = max(newest + champion, default=0)
    for version in at.model.with_role("waiting"):
        if version.number < by_version:
            return superseded(at, at.model.releases[version.number], by_version)
    return None


def _retired_while_waiting(at: Situation) -> Change | None:
    for version in at.model.with_role("waiting"):
        if version.retiring is not None:
            release = at.model.releases[version.number]
            return rolled_back(at, release, f"retired before its release began: {version.retiring}")
    return None


def _loading(at: Situation) -> Change | None:
    release = at.model.in_progress
    if release is None or release.state != "loading" or release.deadline is None:
        return None
    policy, overdue = release.policy, at.now >= release.deadline
    found = readiness(at.model.versions[release.version], at.instances)
    if len(found.ready) >= policy.min_instances and (overdue or not (found.waiting or found.failed)):
        reason = f"ready on {len(found.ready)} of {len(at.instances)} instances"
        if at.model.champion is None:
            return promoted(at, release, f"{reason}; no champion before it")
        return stepped(at, release, 0, reason) if policy.canary else promoted(at, release, f"{reason}; no canary")
    if found.failed and found.possible() < policy.min_instances:
        return rolled_back(at, release, f"can't be ready on {_instances(policy.min_instances)}: {found.in_words()}")
    if overdue:
        limit = format_duration(policy.loading_deadline)
        wanted_on = f"ready on {len(found.ready)} of the {_instances(policy.min_instances)} that it needs"
        return rolled_back(at, release, f"{wanted_on} after {limit}: {found.in_words()}")
    return None


def _canary(at: Situation) -> Change | None:
    release = at.model.in_progress
    if release is None or release.state != "canary" or release.deadline is None:
        return None
    policy, found = release.policy, readiness(at.model.versions[release.version], at.instances)
    evidence, overdue = release.evidence, at.now >= release.deadline
    failing = evidence.error_share > policy.max_error_share
    judged = evidence.requests >= policy.min_requests
    figures = f"{evidence.errors} of {evidence.requests} answers failed ({evidence.error_share:.1%})"
    held = len(found.ready) >= policy.min_instances
    if failing and (judged or overdue):
        return rolled_back(at, release, f"{figures}, the limit is {policy.max_error_share:.1%}")
    if not held and ((found.failed and found.possible() < policy.min_instances) or overdue):
        lost = f"ready on only {len(found.ready)} of the {_instances(policy.min_instances)} that it needs"
        return rolled_back(at, release, f"{lost}: {found.in_words()}")
    if held and judged and at.now >= release.since + policy.step:
        return stepped(at, release, release.step + 1, figures)
    if not overdue:
        return None
    little = f"{evidence.requests} of the {policy.min_requests} answers needed to judge by"
    reason = f"{little} after {format_duration(step_limit(release))}; on_insufficient is {policy.on_insufficient}"
    if policy.on_insufficient == "roll_back":
        return rolled_back(at, release, reason)
    return stepped(at, release, release.step + 1, reason)


def _start(at: Situation) -> Change | None:
    waiting = at.model.with_role("waiting")
    if at.model.in_progress is not None or not waiting:
        return None
    return started(at, at.model.releases[waiting[0].number])


def _retirement(at: Situation) -> Change | None:
    """A retired version goes as soon as it is not needed; that it is needed is said once."""
    for version in at.model.versions.values():
        if version.retiring is None or version.role in ("waiting", "leaving", "gone"):
            continue
        needed = _needed(at, version)
        if needed is None:
            return Change(in_role(at.model, version.number, "leaving"))
        if not version.deferred:
            deferred = e.RetirementDeferred(model=at.model.name, version=version.number, reason=needed)
            return Change(_deferred(at.model, version), (deferred,))
    return None


def _deferred(model: Model, version: Version) -> Model:
    return replace(model, versions={**model.versions, version.number: replace(version, deferred=True)})


def _needed(at: Situation, version: Version) -> str | None:
    champion = at.model.champion
    if version.role == "candidate":
        return "its release is not over"
    if version.role == "champion":
        return "it is the champion"
    if champion is None or not readiness(champion, at.instances).ready:
        return "the champion is not ready on any live instance"
    return None


def _departure(at: Situation) -> Change | None:
    """Drained versions are let go, and the oldest on standby when there are too many."""
    for version in at.model.with_role("leaving"):
        if version.routed_until is None or at.now >= version.routed_until + at.limits.drain:
            return Change(in_role(at.model, version.number, "gone"))
    too_many = at.model.with_role("standby")[at.limits.standby :]
    return Change(in_role(at.model, too_many[-1].number, "leaving")) if too_many else None


RULES: tuple[Callable[[Situation], Change | None], ...] = (
    _degraded_candidate,
    _degraded_champion,
    _last_good_is_good,
    _retired_while_waiting,
    _passed_over,
    _loading,
    _canary,
    _start,
    _retirement,
    _departure,
)


def _instances(count: int) -> str:
    return f"{count} instance{'' if count == 1 else 's'}"
