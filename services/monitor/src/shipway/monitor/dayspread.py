"""How much more the days of a column differ than days of independent rows, and what that makes of a window. Pure.

Rows of a day share its weather, its prices, its campaign: a window of one day is one draw of what days are like,
however many rows it has. So what days differ by among each other is measured where there are many (the version's
training; else the window itself), and what windows of such days lie apart by anyway is not counted: the design effect
of Rao and Scott (1981), of the second order, as days often differ in few directions (all of it colder, not each cell by
itself).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
LEAST_DAYS = 5  # fewer say too little of how days differ


@dataclass(frozen=True)
class Spread:
    """How ``days`` of ``rows`` rows differ. ``mean`` and ``square``: of the eigenvalues of their shares' covariance,
    taken by that of independent rows, so that both are 1 where the rows are independent. ``gaps``: the same of a single
    cell, for the first two, missing and not known.
    """

    days: int
    rows: float
    mean: float
    square: float
    gaps: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Design:
    """What a window's statistic is to be taken by: ``effect``, and the degrees of freedom that are left of it and of
    the days that this is known from.
    """

    effect: float
    degrees: float
    known_by: float


def spread_of(days: Matrix) -> Spread | None:
    """Of counts (days, cells); None where fewer than LEAST_DAYS have rows, or hardly any has two."""
    days = days[days.sum(axis=1) > 0]
    sizes, whole = days.sum(axis=1), days.sum(axis=0)
    total, free = float(sizes.sum()), len(days) - 1
    if len(days) < LEAST_DAYS:
        return None
    rows = (total - float((sizes**2).sum()) / total) / free
    known = whole > 0
    if rows < 2 or known.sum() < 2:
        return None if rows < 2 else Spread(len(days), rows, 1.0, 1.0)
    share = whole / total
    apart = (days / sizes[:, None] - share) * np.sqrt(sizes)[:, None]
    scaled = apart[:, known] / np.sqrt(share[known])
    small = scaled @ scaled.T if len(days) < known.sum() else scaled.T @ scaled
    covariance, width = small / free, int(known.sum()) - 1
    trace, squares = float(np.trace(covariance)), float((covariance**2).sum())
    # The square is too large by what so few days add by chance (Bai and Saranadasa 1996).
    square = free**2 / ((free - 1) * (free + 2)) * (squares - trace**2 / free)
    alone = share * (1 - share)
    cells = (apart**2).sum(axis=0) / free / np.where(alone > 0, alone, 1.0)
    missing, not_known = (float(cells[cell]) if alone[cell] > 0 else 1.0 for cell in (0, 1))
    return Spread(len(days), rows, trace / width, max(square / width, 0.0), (missing, not_known))


def design(spread: Spread, sizes: Sequence[float], reference: float, of_days: int | None, degrees: int) -> Design:
    """Of a window whose days have these rows, beside a reference of so many rows (of so many days, where it has days),
    both cut into ``degrees`` + 1 cells.
    """
    rows = float(sum(sizes))
    clumped = sum(size**2 for size in sizes) / rows**2 + (1 / of_days if of_days else 0.0)
    times = clumped / (1 / rows + 1 / reference) / spread.rows
    effect = max(1 + times * (spread.mean - 1), 1.0)
    square = (1 - times) ** 2 + 2 * times * (1 - times) * spread.mean + times**2 * spread.square
    left = min(max(degrees * effect**2 / max(square, effect**2), 1.0), float(degrees))
    return Design(effect, left, left * (spread.days - 1))


def rows_worth(spread: Spread, cell: int, sizes: Sequence[float]) -> float:
    """How many independent rows say as much of the share of a gap (0: missing, 1: not known) as these days do."""
    rows = float(sum(sizes))
    clumped = sum(size**2 for size in sizes) / rows
    return rows / max(1 + clumped / spread.rows * (spread.gaps[cell] - 1), 1.0)
