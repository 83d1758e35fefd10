"""Whether a day's share is unlike those of the days before it, by how these differ among each other. Pure.

What labels say has no reference in a bundle, and seasons move it slowly, so a day is held against the weeks before it,
whichever versions answered then. This is a control chart of shares whose rows share their day (Laney 2002), that stays
true while there are breaks among its days as well: by the median, and by Qn for how far days lie apart (Rousseeuw and
Croux 1993), so that last week's storm does not make this week's usual. Shares are taken by the arcsine of their root,
whose variance is the same everywhere (Freeman and Tukey 1950).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

from scipy.special import stdtr

LEAST_DAYS = 14  # fewer say too little of how days differ
LEAST_WEEKDAYS = 3  # of the same weekday, that are their own usual
WEEK = 7
_NORMAL = 2.2219  # by which Qn is the deviation of a normal distribution
_EFFICIENCY = 0.82  # of Qn there: what it is from is worth so many of the days


@dataclass(frozen=True)
class Day:
    """``times`` of ``rows`` rows, ``ago`` days before the one that is judged. With ``expected``, the share that was
    foretold, what counts is how far the share lies from that.
    """

    times: float
    rows: int
    ago: int = 0
    expected: float | None = None

    @property
    def share(self) -> float:
        """The share itself."""
        return self.times / self.rows

    @property
    def base(self) -> float:
        """From where it is measured: the expected share, in arcsines."""
        return 0.0 if self.expected is None else _arcsine(self.expected)

    @property
    def place(self) -> float:
        """Where the day lies, in arcsines."""
        return _arcsine(self.share) - self.base


@dataclass(frozen=True)
class Shift:
    """How a day lies beside the usual: the share, the one that is usual, and the chance of a day so far above it."""

    share: float
    usual: float
    above: float

    @property
    def p(self) -> float:
        """The chance of a day so far off to either side."""
        return 2 * min(self.above, 1 - self.above)

    @property
    def effect(self) -> float:
        """So much of the rows more; negative: less."""
        return self.share - self.usual


def shift(day: Day, before: Sequence[Day]) -> Shift | None:
    """A day beside those before it; None where it has no rows, or fewer than LEAST_DAYS before it have.

    Usual is the median of the days, or that of the same weekdays where it is nearer: what each Sunday is like is not
    found anew each Sunday.
    """
    known = [one for one in before if one.rows > 0]
    if day.rows <= 0 or len(known) < LEAST_DAYS:
        return None
    usual = median(one.place for one in known)
    same = [one.place for one in known if one.ago % WEEK == 0]
    if len(same) >= LEAST_WEEKDAYS:
        usual = min(usual, median(same), key=lambda one: abs(day.place - one))
    # A share of so many rows has a variance of its own, 1 / (4 rows): a small day may lie further off.
    between = max(scale([one.place for one in known]) ** 2 - fmean(1 / (4 * one.rows) for one in known), 0.0)
    spread = math.sqrt(between * (1 + math.pi / 2 / len(known)) + 1 / (4 * day.rows))
    above = float(stdtr(_EFFICIENCY * (len(known) - 1), (usual - day.place) / spread))
    return Shift(day.share, math.sin(min(max(day.base + usual, 0.0), math.pi / 2)) ** 2, above)


def scale(values: Sequence[float]) -> float:
    """Qn of at least two values: how far they lie apart, whatever nearly half of them do."""
    n = len(values)
    half = n // 2 + 1
    apart = sorted(abs(a - b) for a, b in combinations(values, 2))
    few = n / (n + 1.4) if n % 2 else n / (n + 3.8)  # few values lie further apart by it than many
    return _NORMAL * few * apart[half * (half - 1) // 2 - 1]


def _arcsine(share: float) -> float:
    return math.asin(math.sqrt(min(max(share, 0.0), 1.0)))
