"""Which version is to be served no more. Pure.

Two policies. *age-and-unused*: older than ``max_age``, and without an answer for ``unused_for``. *degraded*: it
broke its service level and has been replaced. Neither names a version that is needed: the champion, the last
good one, or one in a release; and while a model has no champion none goes, so that its last is never named.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

NEEDED = frozenset({"champion", "last_good", "approved", "loading", "shadow", "canary"})
SERVED = frozenset({"standby", "rolled_back"})


@dataclass(frozen=True)
class ServedVersion:
    """A version as far as its retirement goes. ``left_at``: since when it is champion no more.

    ``asked``: its retirement was told already.
    """

    version: int
    state: str
    promoted_at: datetime | None
    left_at: datetime | None
    last_used: datetime | None
    degraded: bool = False
    asked: bool = False


@dataclass(frozen=True)
class Policy:
    """The model's rule."""

    max_age: timedelta
    unused_for: timedelta


@dataclass(frozen=True)
class Retire:
    """A version that is to go, by which policy, and why."""

    version: int
    policy: str
    reason: str


def to_retire(versions: Iterable[ServedVersion], policy: Policy, now: datetime) -> list[Retire]:
    """The versions of one model that are to go now."""
    known = list(versions)
    if all(v.state != "champion" for v in known):
        return []
    found = []
    for v in known:
        if v.state in NEEDED or v.state not in SERVED or v.promoted_at is None or v.asked:
            continue
        if v.degraded:
            found.append(Retire(v.version, "degraded", "it broke its service level and has been replaced"))
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


def _words(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"
