"""Whether a champion breaks its service level. Pure."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Level:
    """The model's service level for errors: the share, the time it is taken over, and the least evidence."""

    max_error_share: float
    window: timedelta
    min_requests: int


@dataclass(frozen=True)
class Degraded:
    """The figure that broke its limit, in words too."""

    value: float
    limit: float
    reason: str


def degraded(answered: int, failed: int, level: Level) -> Degraded | None:
    """Whether so many failures among so many requests in the window break the level; too few are no evidence."""
    total = answered + failed
    if total < level.min_requests or failed <= level.max_error_share * total:
        return None
    share = failed / total
    window = f"{level.window.total_seconds():.0f} s"
    reason = f"{failed} of {total} requests failed in {window} ({share:.1%}); the limit is {level.max_error_share:.1%}"
    return Degraded(share, level.max_error_share, reason)
