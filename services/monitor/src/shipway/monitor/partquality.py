"""Whether answers in a part of the traffic have become worse than elsewhere, by their labels. Pure.

Some parts are harder than others and always were, so a part is not held against the holdout: what counts is how far it
lies behind the rest of the traffic, beside how far it did in the time before, whichever versions answered then. Both
are differences of ratios over hours, whose variance is that between hours (see worsening); many parts are looked at, so
their false discoveries are held to a rate (Benjamini and Hochberg 1995).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from scipy.special import stdtr

from shipway.monitor.drift import discoveries
from shipway.monitor.judgement import PART_QUALITY, Finding
from shipway.monitor.quality import Quality

Hours = Mapping[datetime, Quality]
LEAST_HOURS = 8
METRICS = {"binary": ("accuracy", "log_loss"), "multiclass": ("accuracy", "log_loss"), "regression": ("mae",)}
_SUMS = {"accuracy": "correct", "log_loss": "log_loss_sum", "mae": "error_sum"}


@dataclass(frozen=True)
class Gap:
    """A part's ``figure``, the ``rest``'s, the variance of their difference, and of how many hours and labels."""

    figure: float
    rest: float
    variance: float
    hours: int
    labelled: int

    @property
    def width(self) -> float:
        """The difference."""
        return self.figure - self.rest


def gap(metric: str, part: Hours, whole: Hours, min_labels: int) -> Gap | None:
    """How far a part lies from the rest of the traffic; None where either has too few labels or hours."""
    name, none = _SUMS[metric], Quality()
    pairs = []
    for hour, every in whole.items():
        mine = part.get(hour, none)
        sums = getattr(mine, name), getattr(every, name)
        pairs.append((mine.labelled, sums[0], every.labelled - mine.labelled, sums[1] - sums[0]))
    own, total, others, other_total = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0, 0, 0)
    hours = sum(n > 0 for n, _, _, _ in pairs)
    if hours < LEAST_HOURS or min(own, others) < min_labels:
        return None
    figure, rest = total / own, other_total / others
    apart = [(s - figure * n) / own - (t - rest * m) / others for n, s, m, t in pairs]
    variance = len(pairs) / (len(pairs) - 1) * sum(one**2 for one in apart)
    return Gap(figure, rest, variance, hours, own)


def by_part(
    version: int,
    now: Mapping[str, Hours],
    before: Mapping[str, Hours],
    output: str,
    allowed: Mapping[str, float],
    min_labels: int,
    false_discoveries: float,
) -> list[Finding]:
    """What the labels say of each part with enough of them, now and before; the part "" is all of the traffic.

    ``allowed``: by metric how much further behind the rest than before a part may lie.
    """
    tested: list[tuple[str, str, Gap, Gap, float]] = []
    for metric in METRICS.get(output, ()):
        for part in sorted(now.keys() & before.keys() - {""}) if metric in allowed else ():
            here = gap(metric, now[part], now[""], min_labels)
            past = gap(metric, before[part], before[""], min_labels)
            if here is not None and past is not None:
                tested.append((metric, part, here, past, _chance(metric, here, past, allowed[metric])))
    worse = discoveries([p for *_, p in tested], false_discoveries)
    return [_finding(version, *one, allowed[one[0]], worse=found) for one, found in zip(tested, worse, strict=True)]


def _chance(metric: str, here: Gap, past: Gap, allowed: float) -> float:
    """That it lies so much further behind though it does by no more than it may."""
    further = _sign(metric) * (here.width - past.width) - allowed
    spread = math.sqrt(here.variance + past.variance)
    if not spread:
        return 0.0 if further > 0 else 1.0
    return float(stdtr(min(here.hours, past.hours) - 1, -further / spread))


def _sign(metric: str) -> int:
    return -1 if metric == "accuracy" else 1


def _finding(
    version: int, metric: str, part: str, here: Gap, past: Gap, p: float, allowed: float, *, worse: bool
) -> Finding:
    limit = here.rest + past.width + _sign(metric) * allowed
    words = (
        f"{metric} {here.figure:.4g} of {here.labelled:,} labelled answers, {here.rest:.4g} elsewhere; before it was"
    )
    words = f"{words} {past.figure:.4g} and {past.rest:.4g} (p = {p:.2g})"
    state = "alarm" if worse else "ok"
    return Finding(version, PART_QUALITY, f"{metric} where {part}", state, worse, here.figure, limit, p, words)
