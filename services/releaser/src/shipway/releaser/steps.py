"""What a step of a release does to the model, and what is told of it. When a step is due, ``release`` decides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shipway.contract import events as e
from shipway.releaser.counts import Instance
from shipway.releaser.evidence import begun, readiness
from shipway.releaser.state import ENDED, IN_PROGRESS, Cause, Hold, Limits, Model, Release, ReleaseEvent, Role, State


@dataclass(frozen=True)
class Situation:
    """What a rule looks at: a model, its live instances, the time, and what holds for every model."""

    model: Model
    instances: Sequence[Instance]
    now: datetime
    limits: Limits


@dataclass(frozen=True)
class Change:
    """The model after a step, and its events; their generation is filled in once that is known."""

    model: Model
    events: tuple[ReleaseEvent, ...] = ()


def started(at: Situation, release: Release, cause: Cause) -> Change:
    """Instances are to load the version; it has no share of the traffic yet."""
    model = in_role(at.model, release.version, "candidate")
    deadline = at.now + release.policy.loading_deadline
    return _moved(at, model, replace(release, deadline=deadline), "loading", cause)


def shadowed(at: Situation, release: Release, cause: Cause) -> Change:
    """It gets copies of what the champion answers, and the counting begins; nobody sees its own answers."""
    version = at.model.versions[release.version]
    evidence = begun(release.evidence, at.model, version, at.instances, first=True)
    begins = replace(release, deadline=at.now + step_limit(release, "shadow"), evidence=evidence)
    return _moved(at, at.model, begins, "shadow", cause)


def stepped(at: Situation, release: Release, step: int, cause: Cause) -> Change:
    """On to canary step ``step``, where the counting begins anew; after the last one it bakes, and is promoted."""
    over = step - len(release.policy.canary)
    if over > 0 or (over == 0 and not release.policy.bake):
        last = "canary step" if release.state == "canary" else "step, that of a shadow,"
        return promoted(at, release, replace(cause, reason=f"the last {last} is over: {cause.reason}"))
    first, version = release.state != "canary", at.model.versions[release.version]
    evidence = begun(release.evidence, at.model, version, at.instances, first=first)
    begins = replace(release, step=step, deadline=at.now + step_limit(release, "canary"), evidence=evidence)
    change = _moved(at, at.model, begins, "canary", cause)
    share = release.policy.canary[0] if release.policy.canary else 1.0
    return _and(change, _released(at, release, share)) if first else change


def promoted(at: Situation, release: Release, cause: Cause) -> Change:
    """The candidate is the champion, the champion the last good version, and that one goes to standby."""
    model, previous, good = at.model, at.model.champion, at.model.last_good
    if previous is not None:
        sound = previous.degraded is None
        model = in_role(model, previous.number, "last_good" if sound else "standby")
        if sound and good is not None:
            model = in_role(model, good.number, "standby")
    change = _moved(at, in_role(model, release.version, "champion"), release, "active", cause)
    if release.state in ("loading", "shadow"):
        change = _and(change, _released(at, release, 1.0))
    return _and(
        change,
        e.ReleasePromoted(
            model=model.name,
            version=release.version,
            digest=model.versions[release.version].digest,
            release_id=release.id,
            generation=0,
            previous_version=previous.number if previous is not None else None,
            reason=cause.reason,
        ),
    )


def rolled_back(at: Situation, release: Release, cause: Cause) -> Change:
    """The release is over; a version that instances may hold leaves them once it has drained."""
    model = in_role(at.model, release.version, "gone" if release.state == "approved" else "leaving")
    return _and_rolled_back(_moved(at, model, release, "rolled_back", cause), release, cause.reason)


def reverted(at: Situation, release: Release, to: int, cause: Cause) -> Change:
    """The champion (of that release) and version ``to`` change places in one step; the former goes to standby."""
    model = in_role(in_role(at.model, release.version, "standby"), to, "champion")
    return _and_rolled_back(_moved(at, model, release, "rolled_back", cause), release, cause.reason)


def superseded(at: Situation, release: Release, by_version: int) -> Change:
    """The waiting release is passed over."""
    model = in_role(at.model, release.version, "gone")
    cause = Cause(f"version {by_version} is newer", "rule superseded")
    change = _moved(at, model, release, "superseded", cause)
    return _and(
        change,
        e.ReleaseSuperseded(model=model.name, version=release.version, release_id=release.id, by_version=by_version),
    )


def step_limit(release: Release, state: State) -> timedelta:
    """How long being a shadow, or a canary step, or baking, may take at most."""
    policy = release.policy
    return max(policy.step_deadline, policy.shadow_for if state == "shadow" else max(policy.step, policy.bake))


def on_hold(model: Model, release: Release) -> Hold | None:
    """Why the release does not go on; None: it goes on by rule."""
    return release.hold or (model.stopped if release.state in IN_PROGRESS else None)


def resumed(at: Situation, release: Release) -> Release:
    """The release without its hold; the clock of its state begins anew."""
    deadline = None
    if release.state in IN_PROGRESS:
        limit = release.policy.loading_deadline if release.state == "loading" else step_limit(release, release.state)
        deadline = at.now + limit
    return replace(release, hold=None, deadline=deadline)


def in_role(model: Model, number: int, role: Role) -> Model:
    """The model with that version in that role."""
    return replace(model, versions={**model.versions, number: replace(model.versions[number], role=role)})


def with_release(model: Model, release: Release) -> Model:
    """The model with that release in its present state."""
    return replace(model, releases={**model.releases, release.version: release})


def _moved(at: Situation, model: Model, release: Release, to: State, cause: Cause) -> Change:
    deadline, hold = (None, None) if to in ENDED else (release.deadline, release.hold)
    after = replace(release, state=to, since=at.now, deadline=deadline, hold=hold, reason=cause.reason)
    progressed = e.ReleaseProgressed(
        model=model.name,
        version=release.version,
        release_id=release.id,
        from_state=release.state,
        to_state=to,
        candidate_share=after.share,
        generation=0,
        reason=cause.reason,
        by=cause.by,
        figures=dict(cause.figures),
    )
    return Change(with_release(model, after), (progressed,))


def _and(change: Change, event: ReleaseEvent) -> Change:
    return replace(change, events=(*change.events, event))


def _and_rolled_back(change: Change, release: Release, reason: str) -> Change:
    champion = change.model.champion
    return _and(
        change,
        e.ReleaseRolledBack(
            model=change.model.name,
            version=release.version,
            digest=change.model.versions[release.version].digest,
            release_id=release.id,
            generation=0,
            champion_version=champion.number if champion is not None else None,
            champion_digest=champion.digest if champion is not None else None,
            reason=reason,
        ),
    )


def _released(at: Situation, release: Release, share: float) -> e.ModelReleased:
    version = at.model.versions[release.version]
    return e.ModelReleased(
        model=at.model.name,
        version=version.number,
        digest=version.digest,
        release_id=release.id,
        generation=0,
        instances=list(readiness(version, at.instances).ready),
        candidate_share=share,
    )
