"""Error budgets: how much of a service level may be missed, how much was, and how fast it goes. Pure.

Burn rates by two windows each, as in Google's SRE workbook (Beyer and others 2018, chapter 5, "Alerting on SLOs", the
sixth of its ways): a long one, so that it matters, and a short one of a twelfth, so that it is still so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

HOUR = timedelta(hours=1)
BACK_AT = 0.05  # of the budget must be left before it counts as back, so that it does not come and go
Pace = Literal["fast burn", "slow burn"]


@dataclass(frozen=True)
class Counts:
    """How often a level was kept and missed."""

    good: int = 0
    bad: int = 0

    @property
    def total(self) -> int:
        """Both."""
        return self.good + self.bad

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.good + other.good, self.bad + other.bad)


@dataclass(frozen=True)
class Budget:
    """Of ``counts`` within the budget's window ``allowed`` may be missed. ``left``: the share of that, below 0 where
    more was; 1 where nothing was counted.
    """

    counts: Counts
    allowed: float
    left: float


@dataclass(frozen=True)
class Burn:
    """The budget goes ``rate`` times as fast as it would last, over ``window`` and over a twelfth of it."""

    pace: Pace
    rate: float
    limit: float
    window: timedelta


@dataclass(frozen=True)
class _Rule:
    """So large a ``share`` of the budget in ``window`` is too much."""

    pace: Pace
    share: float
    window: timedelta


# For a budget of 30 days the workbook's 14.4, 6 and 1 times the pace at which it would last.
RULES = (
    _Rule("fast burn", 0.02, HOUR),
    _Rule("fast burn", 0.05, 6 * HOUR),
    _Rule("slow burn", 0.10, 72 * HOUR),
)


def budget(counts: Counts, objective: float) -> Budget:
    """The budget of a level that ``objective``, a share below 1, must keep."""
    allowed = (1 - objective) * counts.total
    return Budget(counts, allowed, 1 - counts.bad / allowed if counts.total else 1.0)


def is_spent(found: Budget, before: bool, least: int) -> bool:
    """Whether nothing is left of it, by ``least`` countings at least; ``before``: it was so at the last look."""
    if found.counts.total < least:
        return False
    return found.left < BACK_AT if before else found.left <= 0


def burn_rate(counts: Counts, objective: float) -> float:
    """How many times faster than it would last the budget goes; 0 where nothing was counted."""
    return counts.bad / counts.total / (1 - objective) if counts.total else 0.0


def windows_of(budget_window: timedelta) -> list[timedelta]:
    """The times over which a level must be counted."""
    return [budget_window, *(w for rule in RULES for w in (rule.window, rule.window / 12))]


def burning(
    counted: Mapping[timedelta, Counts], objective: float, window: timedelta, least: int
) -> dict[Pace, Burn | None]:
    """For each pace whether a budget of ``window`` goes too fast, by what was ``counted`` in each of windows_of up to
    now; fewer than ``least`` countings in the longer time are no evidence.
    """
    found: dict[Pace, Burn | None] = {rule.pace: None for rule in RULES}
    for rule in RULES:
        long, short = counted[rule.window], counted[rule.window / 12]
        limit = rule.share * (window / rule.window)
        rate = min(burn_rate(long, objective), burn_rate(short, objective))
        if found[rule.pace] is None and long.total >= least and rate > limit:
            found[rule.pace] = Burn(rule.pace, rate, limit, rule.window)
    return found
