"""Which version is to be served no more. Pure.

Three policies. *age-and-unused*: older than ``max_age``, and without an answer for ``unused_for``. *degraded*: it
broke its service level and has been replaced. *continued-evaluation*: labels show that it is worse than the champion.
None names a version that is needed: the champion, the last good one unless it is degraded, or one in a release; and
while a model has no champion none goes, so that its last is never named.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shipway.monitor.quality import Estimate

NEEDED = frozenset({"champion", "last_good", "approved", "loading", "shadow", "canary"})
SERVED = frozenset({"standby", "rolled_back"})


@dataclass(frozen=True)
class ServedVersion:
    """A version as far as its retirement goes. ``left_at``: since when it is champion no more.

    ``asked``: its retirement was told already. ``loss``: by all labels of its answers; None where there are none.
    ``ndcg_at``: of a ranking, by how many of the best rows of each query.
    """

    version: int
    state: str
    promoted_at: datetime | None
    left_at: datetime | None
    last_used: datetime | None
    degraded: bool = False
    asked: bool = False
    loss: Estimate | None = None
    ndcg_at: int | None = None


@dataclass(frozen=True)
class Policy:
    """The model's rule. ``when_worse``: what is shown to be worse than the champion goes, too."""

    max_age: timedelta
    unused_for: timedelta
    when_worse: bool = False


@dataclass(frozen=True)
class Retire:
    """A version that is to go, by which policy, and why."""

    version: int
    policy: str
    reason: str


def to_retire(versions: Iterable[ServedVersion], policy: Policy, now: datetime) -> list[Retire]:
    """The versions of one model that are to go now."""
    known = list(versions)
    champion = next((v for v in known if v.state == "champion"), None)
    if champion is None:
        return []
    found = []
    for v in known:
        # A champion that failed and was succeeded is called the last good one, and is nothing to go back to.
        failed = v.degraded and v.state == "last_good"
        if (v.state not in SERVED and not failed) or v.promoted_at is None or v.asked:
            continue
        if v.degraded:
            found.append(Retire(v.version, "degraded", "it broke its service level and has been replaced"))
            continue
        if (worse := _worse(v, champion, policy)) is not None:
            found.append(Retire(v.version, "continued-evaluation", worse))
            continue
        age = now - v.promoted_at
        idle = now - max(moment for moment in (v.promoted_at, v.left_at, v.last_used) if moment is not None)
        if age > policy.max_age and idle > policy.unused_for:
            reason = (
                f"promoted {_words(age)} ago (limit {_words(policy.max_age)}), "
                f"unused for {_words(idle)} (limit {_words(policy.unused_for)})"
            )
            found.append(Retire(v.version, "age-and-unused", reason))
    return found


def _worse(version: ServedVersion, champion: ServedVersion, policy: Policy) -> str | None:
    """How labels show a version to be worse than the champion; None: they do not, or are too few to say."""
    ours, theirs = version.loss, champion.loss
    if version.ndcg_at != champion.ndcg_at:
        return None  # losses of another exam
    if not policy.when_worse or ours is None or ours.low is None or theirs is None or theirs.high is None:
        return None
    if ours.low <= theirs.high:
        return None
    said = f"mean loss {ours.mean:.3f} (at least {ours.low:.3f})"
    return f"{said}, that of champion {champion.version} {theirs.mean:.3f} (at most {theirs.high:.3f})"


def _words(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"
