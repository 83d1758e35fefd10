"""Counters and histograms of the hot path: added up when somebody looks, not as it happens.

Each of prometheus_client's takes a lock, and a histogram walks its buckets, for every request. These keep what happened
as it is, and give it to the library's own values, in one go, when they are shown; so what is shown is the library's.
With several workers the values are in files that other processes read, and have it at once. For use from one thread,
which is the event loop's.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.samples import Sample

_MOST = 1 if "PROMETHEUS_MULTIPROC_DIR" in os.environ else 4096


class HotCounter(Counter):
    """A counter; ``inc`` is without exemplars."""

    _more = 0.0
    _times = 0

    def inc(self, amount: float = 1, exemplar: Any = None) -> None:
        """Adds an amount, which is not negative."""
        self._more += amount
        self._times += 1
        if self._times >= _MOST:
            self._settle()

    def _settle(self) -> None:
        more, self._more, self._times = self._more, 0.0, 0
        super().inc(more)

    def _child_samples(self) -> Iterable[Sample]:
        self._settle()
        return super()._child_samples()


class HotHistogram(Histogram):
    """A histogram; ``observe`` is without exemplars."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._seen: list[float] = []

    def observe(self, amount: float, exemplar: Any = None) -> None:
        """Takes an observation."""
        seen = self._seen
        seen.append(amount)
        if len(seen) >= _MOST:
            self._settle()

    def _settle(self) -> None:
        seen, self._seen = self._seen, []
        found: dict[int, int] = {}
        for amount in seen:
            place = bisect_left(self._upper_bounds, amount)
            found[place] = found.get(place, 0) + 1
        for place, times in found.items():
            self._buckets[place].inc(times)
        if seen:
            self._sum.inc(sum(seen))

    def _child_samples(self) -> Iterable[Sample]:
        self._settle()
        return super()._child_samples()
