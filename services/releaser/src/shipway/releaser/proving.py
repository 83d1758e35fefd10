"""Whether a candidate goes on, is rolled back, or is waited for: while it is loaded, a shadow, and in each canary step.

A release on hold, of a frozen model, or of one whose error budget is spent, does not go on; it still goes back where
it fails.
"""

from shipway.contract.spec import format_duration
from shipway.releaser.evidence import readiness
from shipway.releaser.judging import figures, findings
from shipway.releaser.state import TRIED, Cause
from shipway.releaser.steps import Change, Situation, on_hold, promoted, rolled_back, shadowed, step_limit, stepped


def loading(at: Situation) -> Change | None:
    """Ready on enough instances, and no other may still become so: the first canary step. Not by the deadline: back.

    Instances that can't become so are not waited for: those that failed to load it, which try it no more, and those of
    an image with other versions.
    """
    release = at.model.in_progress
    if release is None or release.state != "loading" or release.deadline is None:
        return None
    policy, overdue = release.policy, at.now >= release.deadline
    found = readiness(at.model.versions[release.version], at.instances)
    figures = {"ready": float(len(found.ready)), "needed": float(policy.min_instances)}
    if len(found.ready) >= policy.min_instances:
        if on_hold(at.model, release) is not None or (found.waiting and not overdue):
            return None
        lacking = f" ({found.in_words()})" if found.waiting or found.failed else ""
        cause = Cause(f"ready on {len(found.ready)} of {found.able()} instances{lacking}", "rule ready", figures)
        if at.model.champion is None:
            return promoted(at, release, _more(cause, "no champion before it"))
        if policy.shadow:
            return shadowed(at, release, cause)
        if policy.canary or policy.bake:
            return stepped(at, release, 0, cause)
        return promoted(at, release, _more(cause, "no canary"))
    if found.failed and found.possible() < policy.min_instances:
        reason = f"can't be ready on {_instances(policy.min_instances)}: {found.in_words()}"
        return rolled_back(at, release, Cause(reason, "rule quorum", figures))
    if overdue:
        limit = format_duration(policy.loading_deadline)
        wanted_on = f"ready on {len(found.ready)} of the {_instances(policy.min_instances)} that it needs"
        reason = f"{wanted_on} after {limit}: {found.in_words()}"
        return rolled_back(at, release, Cause(reason, "rule loading deadline", figures))
    return None


def trial(at: Situation) -> Change | None:
    """Harm is shown: back, at once. Enough answers without it, for long enough: the next step. Else it is waited.

    So for a shadow, after which comes the first canary step, and for each of those.
    """
    release = at.model.in_progress
    if release is None or release.state not in TRIED or release.deadline is None:
        return None
    shadow = release.state == "shadow"
    following = 0 if shadow else release.step + 1
    policy, found = release.policy, readiness(at.model.versions[release.version], at.instances)
    waits = on_hold(at.model, release) is not None
    evidence, overdue = release.evidence, at.now >= release.deadline and not waits
    shown = findings(at.model, release)
    numbers = figures(shown)
    harm = next((f for f in shown if f.shows == "harm"), None)
    failing = evidence.error_share > policy.max_error_share
    answers = f"{evidence.errors} of {evidence.requests} answers failed ({evidence.error_share:.1%})"
    judged_by = "; ".join([answers, *(f.words for f in shown if f.shows == "not compared")])
    held = len(found.ready) >= policy.min_instances
    if harm is not None:
        return rolled_back(at, release, Cause(harm.words, f"rule {'shadow ' if shadow else ''}{harm.name}", numbers))
    if failing and overdue:
        reason = f"{answers}, the limit is {policy.max_error_share:.1%}"
        return rolled_back(at, release, Cause(reason, "rule errors at the deadline", numbers))
    if not held and ((found.failed and found.possible() < policy.min_instances) or overdue):
        lost = f"ready on only {len(found.ready)} of the {_instances(policy.min_instances)} that it needs"
        return rolled_back(at, release, Cause(f"{lost}: {found.in_words()}", "rule quorum", numbers))
    if waits:
        return None
    compares = policy.evidence == "shown" and not release.bakes  # then the champion answers nothing
    open_ = [f for f in shown if f.needed and f.shows != "no harm"] if compares else []
    enough = evidence.requests >= policy.min_requests and not open_ and not failing
    least = policy.shadow_for if shadow else policy.bake if release.bakes else policy.step
    if held and enough and at.now >= release.since + least:
        return stepped(at, release, following, Cause(judged_by, f"rule {release.state}", numbers))
    if not overdue:
        return None
    little = f"{evidence.requests} of the {policy.min_requests} answers needed to judge by"
    if evidence.requests >= policy.min_requests and open_:
        little = f"not shown to be as good: {open_[0].words}"
    limit = format_duration(step_limit(release, release.state))
    reason = f"{little} after {limit}; on_insufficient is {policy.on_insufficient}"
    cause = Cause(reason, "rule on_insufficient", numbers)
    if policy.on_insufficient == "roll_back":
        return rolled_back(at, release, cause)
    return stepped(at, release, following, cause)


def held_too_long(at: Situation) -> Change | None:
    """A release that nobody approves or lets go on is rolled back in the end."""
    for release in at.model.releases.values():
        hold = on_hold(at.model, release)
        if hold is not None and at.now >= hold.since + release.policy.hold_limit:
            waited = {
                "approval": "nobody approved it",
                "operator": "it was held",
                "freeze": "the model was frozen",
                "budget": "the error budget was spent",
            }
            reason = f"{waited[hold.kind]} for {format_duration(release.policy.hold_limit)}: {hold.reason}"
            return rolled_back(at, release, Cause(reason, "rule hold_limit"))
    return None


def _more(cause: Cause, words: str) -> Cause:
    return Cause(f"{cause.reason}; {words}", cause.by, cause.figures)


def _instances(count: int) -> str:
    return f"{count} instance{'' if count == 1 else 's'}"
