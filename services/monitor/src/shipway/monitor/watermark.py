"""Up to when everything that the log held is counted: the watermark. Pure.

A look at the broker gives where each partition ends. Once the monitors' group has handled all up to there, everything
that was in the log at the time of that look is counted, in whatever order and by whichever monitor it came. Silence on
the log so moves the watermark on, and a backlog holds it back: neither is taken for a lack of traffic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Look:
    """Where the log's partitions ended at a moment."""

    at: datetime
    ends: Mapping[int, int]


@dataclass(frozen=True)
class Watermark:
    """``counted_to``: all that was in the log then is counted. ``waiting``: the look that is to be reached next."""

    counted_to: datetime | None = None
    waiting: Look | None = None


def advance(mark: Watermark, now: Look, handled: Mapping[int, int]) -> Watermark:
    """The watermark after a look; ``handled`` is the next offset to handle, by partition."""
    waiting = mark.waiting
    if waiting is not None and any(now.ends.get(p, 0) < end for p, end in waiting.ends.items()):
        waiting = None  # the broker lost what it held: that end is never reached
    if waiting is None:
        waiting = now
    if any(handled.get(p, 0) < end for p, end in waiting.ends.items()):
        return Watermark(mark.counted_to, waiting)
    if waiting is now:
        return Watermark(now.at)
    caught_up = all(handled.get(p, 0) >= end for p, end in now.ends.items())
    return Watermark(now.at if caught_up else waiting.at, None if caught_up else now)
