"""What operators command over releases: approve, promote, roll back, hold and resume one; freeze them all. Pure."""

from dataclasses import replace

from shipway.releaser.answers import Impossible, Outcome, cause_of, named, place, release_of, version_of
from shipway.releaser.departure import with_version
from shipway.releaser.evidence import readiness
from shipway.releaser.state import IN_PROGRESS, Hold, Model, Order, Release, Version
from shipway.releaser.steps import Change, Situation, promoted, resumed, reverted, rolled_back, with_release


def approve(at: Situation, order: Order) -> Outcome:
    """A version that waits for a person waits no longer; its release takes its turn."""
    held = [v for v in at.model.with_role("waiting") if release_of(at, v).hold is not None]
    if order.version is None and not held:
        raise Impossible("no version waits for approval")
    version = held[0] if order.version is None else version_of(at, order)
    if version not in held:
        raise Impossible(f"version {version.number} does not wait for approval: {place(at, version)}")
    release = release_of(at, version)
    turn = " once the model is not frozen any more" if at.model.frozen is not None else " when its turn comes"
    model = with_release(at.model, replace(release, hold=None, reason=cause_of(order).reason))
    return Change(model), f"version {version.number} is released{turn}"


def promote(at: Situation, order: Order) -> Outcome:
    """The candidate is the champion now, whatever its canary has shown; it must be ready."""
    release = at.model.in_progress
    if release is None or order.version not in (None, release.version):
        raise Impossible(f"no release of {named(order)} is under way; what waits is approved, not promoted")
    if at.model.frozen is not None:
        raise Impossible(f"the model is frozen ({at.model.frozen.reason}): unfreeze it first")
    found = readiness(at.model.versions[release.version], at.instances)
    if len(found.ready) < release.policy.min_instances:
        short = f"ready on {len(found.ready)} of the {release.policy.min_instances} instances that it needs"
        raise Impossible(f"version {release.version} is {short}: {found.in_words()}")
    figures = {"answers": float(release.evidence.requests), "errors": float(release.evidence.errors)}
    return promoted(at, release, cause_of(order, figures)), f"version {release.version} is the champion"


def roll_back(at: Situation, order: Order) -> Outcome:
    """The named version, else the candidate, else the champion takes no traffic any more."""
    release, champion = at.model.in_progress, at.model.champion
    waiting = [v for v in at.model.with_role("waiting") if v.number == order.version]
    if waiting:
        return rolled_back(at, release_of(at, waiting[0]), cause_of(order)), f"version {order.version} is not released"
    if release is not None and order.version in (None, release.version):
        return rolled_back(at, release, cause_of(order)), f"version {release.version} is rolled back"
    if champion is None or order.version not in (None, champion.number):
        raise Impossible(f"{named(order)} takes no traffic: there is nothing to roll back")
    return _revert(at, champion, order)


def hold(at: Situation, order: Order) -> Outcome:
    """A release does not go on, until it is resumed."""
    release = _open_release(at, order)
    if release.hold is not None:
        raise Impossible(f"the release of version {release.version} is on hold already: {release.hold.reason}")
    hold = Hold("operator", cause_of(order).reason, at.now)
    change = Change(with_release(at.model, replace(release, hold=hold)))
    return change, f"the release of version {release.version} is on hold, {_share(release)}"


def resume(at: Situation, order: Order) -> Outcome:
    """A release goes on where it was held, by a person or by an error budget; the clock of its state begins anew."""
    if at.model.spent is not None and order.version is None:
        return Change(_unspent(at)), f"releases go on, though {at.model.spent.reason}"
    release = _open_release(at, order, held=True)
    if release.hold is None:
        raise Impossible(f"the release of version {release.version} is not on hold")
    if release.hold.kind == "approval":
        raise Impossible(f"version {release.version} waits for approval ({release.hold.reason}): approve it")
    return Change(with_release(at.model, resumed(at, release))), f"the release of version {release.version} goes on"


def _unspent(at: Situation) -> Model:
    """The model without the hold of its error budget, until the next that is spent."""
    model, release = replace(at.model, spent=None), at.model.in_progress
    if release is not None and release.hold is None:
        model = with_release(model, resumed(at, release))
    return model


def freeze(at: Situation, order: Order) -> Outcome:
    """No release of the model starts or goes on; it still goes back, by rule and by hand."""
    if at.model.frozen is not None:
        raise Impossible(f"the model is frozen already: {at.model.frozen.reason}")
    frozen = Hold("freeze", cause_of(order).reason, at.now)
    return Change(replace(at.model, frozen=frozen)), "no release starts or goes on until it is unfrozen"


def unfreeze(at: Situation, order: Order) -> Outcome:
    """Releases of the model go on."""
    if at.model.frozen is None:
        raise Impossible("the model is not frozen")
    model, release = replace(at.model, frozen=None), at.model.in_progress
    if release is not None and release.hold is None:
        model = with_release(model, resumed(at, release))
    return Change(model), "releases go on"


def _revert(at: Situation, champion: Version, order: Order) -> Outcome:
    good, release = at.model.last_good, release_of(at, champion)
    if good is None or good.degraded is not None:
        raise Impossible(f"there is no sound version to go back to from version {champion.number}")
    if not readiness(good, at.instances).enough(release.policy.min_instances):
        raise Impossible(f"version {good.number}, the last good one, is not ready on enough instances")
    # Degraded, or the rule that looks for a version to go back to would come back to it.
    cause = cause_of(order)
    change = reverted(at, release, good.number, cause)
    left = replace(change.model.versions[champion.number], degraded=f"rolled back by {cause.reason}")
    return replace(change, model=with_version(change.model, left)), f"version {good.number} is the champion again"


def _open_release(at: Situation, order: Order, *, held: bool = False) -> Release:
    """The release that is meant: of the named version, else the one under way, else the newest that waits."""
    waiting = [release_of(at, v) for v in at.model.with_role("waiting")]
    under_way = [at.model.in_progress] if at.model.in_progress is not None else []
    candidates = [r for r in under_way + waiting if order.version in (None, r.version)]
    if held and order.version is None:
        candidates = [r for r in candidates if r.hold is not None] or candidates
    if not candidates:
        raise Impossible(f"no release of {named(order)} waits or is under way")
    return candidates[0]


def _share(release: Release) -> str:
    return f"with {release.share:.0%} of the traffic" if release.state in IN_PROGRESS else "before it begins"
