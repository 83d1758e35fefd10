"""What operators command over versions: keep one, let it go, retire it, or have it back. Pure."""

from dataclasses import replace

from shipway.contract import events as e
from shipway.releaser.answers import Impossible, Outcome, cause_of, place, release_of, version_of
from shipway.releaser.departure import with_version
from shipway.releaser.state import Order
from shipway.releaser.steps import Change, Situation


def pin(at: Situation, order: Order) -> Outcome:
    """A version is kept loaded: not retired, not let go for newer ones."""
    version = version_of(at, order, default=at.model.champion)
    if version.role not in ("champion", "last_good", "standby"):
        raise Impossible(f"version {version.number} can't be pinned: {place(at, version)}")
    pinned = replace(version, pinned=cause_of(order).reason)
    return Change(with_version(at.model, pinned)), f"version {version.number} is kept until it is unpinned"


def unpin(at: Situation, order: Order) -> Outcome:
    """A version goes again by rule."""
    pinned = [v for v in at.model.versions.values() if v.pinned is not None]
    if order.version is None and len(pinned) != 1:
        raise Impossible(f"{len(pinned)} versions are pinned: name one")
    version = pinned[0] if order.version is None else version_of(at, order)
    if version.pinned is None:
        raise Impossible(f"version {version.number} is not pinned")
    return Change(with_version(at.model, replace(version, pinned=None))), f"version {version.number} may go by rule"


def retire(at: Situation, order: Order) -> Outcome:
    """A version is to go; one that is needed is not let go."""
    version = version_of(at, order)
    if version.role in ("champion", "candidate"):
        remedy = "roll it back first, or release another"
        raise Impossible(f"version {version.number} is needed: {place(at, version)}; {remedy}")
    if version.pinned is not None:
        raise Impossible(f"version {version.number} is pinned ({version.pinned}): unpin it first")
    if version.role in ("leaving", "gone"):
        raise Impossible(f"version {version.number} is not held any more")
    reason = cause_of(order).reason
    said = e.ModelRetired(model=at.model.name, version=version.number, policy="operator", reason=reason)
    model = with_version(at.model, replace(version, retiring=version.retiring or f"operator: {reason}"))
    return Change(model, (said,)), f"version {version.number} leaves the instances as soon as it is not needed"


def restore(at: Situation, order: Order) -> Outcome:
    """A retired version is loaded again, and kept: the rule that retired it would take it away at once."""
    version = version_of(at, order)
    if version.retiring is None:
        raise Impossible(f"version {version.number} was not retired: {place(at, version)}")
    if release_of(at, version).state != "active":
        raise Impossible(f"version {version.number} was never kept as champion: train or import it anew")
    if version.bundle != "kept":
        raise Impossible(f"the bundle of version {version.number} was removed after its retirement: train it anew")
    kept = replace(version, retiring=None, deferred=False, pinned=f"restored by {cause_of(order).reason}")
    if version.role in ("leaving", "gone"):
        kept = replace(kept, role="standby")
    return Change(with_version(at.model, kept)), f"version {version.number} is loaded again, and kept until unpinned"
