"""The latency histogram that instances report of each version: buckets of half an octave, from 50 µs to 10 s.

Only answers to one row are in it: the time of a merged call depends on how much was merged, and so on the share of the
traffic, which differs between champion and candidate.
"""

from bisect import bisect_left

BOUNDS_US: tuple[int, ...] = tuple(round(50 * 2 ** (i / 2)) for i in range(36))
"""The upper bounds; one more bucket holds what is slower."""
BUCKETS = len(BOUNDS_US) + 1


def bucket(latency_us: float) -> int:
    """The bucket of one answer's time."""
    return bisect_left(BOUNDS_US, latency_us)
