"""When a version goes: once it is retired and not needed any more, or when too many older ones are kept loaded."""

from dataclasses import replace

from shipway.contract import events as e
from shipway.releaser.evidence import readiness
from shipway.releaser.state import Cause, Model, Version
from shipway.releaser.steps import Change, Situation, in_role, rolled_back


def retired_while_waiting(at: Situation) -> Change | None:
    """What is retired before its release begins is never loaded."""
    for version in at.model.with_role("waiting"):
        if version.retiring is not None:
            release = at.model.releases[version.number]
            cause = Cause(f"retired before its release began: {version.retiring}", "rule retired")
            return rolled_back(at, release, cause)
    return None


def retirement(at: Situation) -> Change | None:
    """A retired version goes as soon as it is not needed; that it is needed is said once."""
    for version in at.model.versions.values():
        if version.retiring is None or version.role in ("waiting", "leaving", "gone"):
            continue
        needed = needed_for(at, version)
        if needed is None:
            return Change(in_role(at.model, version.number, "leaving"))
        if not version.deferred:
            deferred = e.RetirementDeferred(model=at.model.name, version=version.number, reason=needed)
            return Change(with_version(at.model, replace(version, deferred=True)), (deferred,))
    return None


def needed_for(at: Situation, version: Version) -> str | None:
    """Why a version can't go now; None: it can. The last good one goes once another takes its place."""
    champion = at.model.champion
    if version.role == "candidate":
        return "its release is not over"
    if version.role == "champion":
        return "it is the champion"
    if version.role == "last_good":
        return "it is the last good version, which answers again where the champion fails"
    if version.pinned is not None:
        return f"it is pinned: {version.pinned}"
    if champion is None or not readiness(champion, at.instances).ready:
        return "the champion is not ready on any live instance"
    return None


def departure(at: Situation) -> Change | None:
    """Drained versions are let go, and the oldest on standby when there are too many; pinned ones don't count."""
    for version in at.model.with_role("leaving"):
        if version.routed_until is None or at.now >= version.routed_until + at.limits.drain:
            return Change(in_role(at.model, version.number, "gone"))
    too_many = [v for v in at.model.with_role("standby") if v.pinned is None][at.limits.standby :]
    return Change(in_role(at.model, too_many[-1].number, "leaving")) if too_many else None


def with_version(model: Model, version: Version) -> Model:
    """The model with that version as it is now."""
    return replace(model, versions={**model.versions, version.number: version})
