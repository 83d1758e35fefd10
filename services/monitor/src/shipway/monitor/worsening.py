"""Whether a version's answers have become worse: by labels, by calibration, and by its own probabilities. Pure.

By labels: ratios of sums over hours, whose variance is that between hours (the estimator of a ratio over clusters,
Cochran 1977, 6.4; Student's t, as hours are few). Answers of an hour are alike, and would be surer than they are if
each counted for itself; an answer of a ranking is that to a query. Without labels: a calibrated answer says by its own
probability how likely it is right, so the mean of these estimates the accuracy (confidence-based performance
estimation, NannyML); an alert, and never more.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import chdtrc, stdtrit

from shipway.bundle.metrics import HIGHER_IS_BETTER
from shipway.monitor.judgement import Finding
from shipway.monitor.quality import Quality, figures

QUALITY, CALIBRATION, ESTIMATED = "quality", "calibration", "estimated quality"
SURE = 0.99  # of an interval; there is one a metric and day
LEAST_HOURS = 8
SIGNIFICANT = 1e-4
METRICS = {
    "binary": ("accuracy", "log_loss"),
    "multiclass": ("accuracy", "log_loss"),
    "regression": ("mae", "rmse"),
    "ranking": ("ndcg",),
}
_SUMS: Mapping[str, Callable[[Quality], float]] = {
    "accuracy": lambda hour: hour.correct,
    "log_loss": lambda hour: hour.log_loss_sum,
    "mae": lambda hour: hour.error_sum,
    "rmse": lambda hour: hour.error_square_sum,
    "ndcg": lambda hour: hour.labelled - hour.loss_sum,
}


@dataclass(frozen=True)
class Rule:
    """What is too bad. ``drop``: in shares of the holdout's figure; ``floor``: of ``metric``, as the gates have it, or
    ``no_floor``: why theirs says nothing of this version.
    """

    drop: float
    min_labels: int
    max_calibration_error: float
    metric: str
    floor: float | None = None
    no_floor: str = ""


@dataclass(frozen=True)
class Interval:
    """A figure, and where it lies."""

    figure: float
    low: float
    high: float


@dataclass(frozen=True)
class Sure:
    """How sure so many answers were: the sum of their probabilities and of the squares of these."""

    sums: tuple[float, float]
    rows: int

    @property
    def mean(self) -> float:
        """The accuracy to be expected."""
        return self.sums[0] / self.rows

    @property
    def variance(self) -> float:
        """Of one answer's probability."""
        return max(self.sums[1] / self.rows - self.mean**2, 0.0)


def interval(metric: str, hours: Sequence[Quality]) -> Interval | None:
    """A metric over hours of labelled answers, SURE; None where the hours are too few for it."""
    known = [hour for hour in hours if hour.labelled > 0]
    if len(known) < LEAST_HOURS:
        return None
    sums, counts = [_SUMS[metric](hour) for hour in known], [hour.labelled for hour in known]
    total, figure = sum(counts), sum(sums) / sum(counts)
    between = sum((s - figure * n) ** 2 for s, n in zip(sums, counts, strict=True))
    spread = float(stdtrit(len(known) - 1, (1 + SURE) / 2)) * math.sqrt(len(known) / (len(known) - 1) * between) / total
    low, high = figure - spread, figure + spread
    if metric == "rmse":
        return Interval(math.sqrt(figure), math.sqrt(max(low, 0)), math.sqrt(max(high, 0)))
    return Interval(figure, max(low, 0.0), min(high, 1.0) if HIGHER_IS_BETTER[metric] else high)


def by_labels(
    version: int, hours: Sequence[Quality], answered: int, holdout: Mapping[str, float], output: str, rule: Rule
) -> list[Finding]:
    """Each metric that the holdout has, beside it; and the calibration. ``answered``: predictions in these hours."""
    whole = Quality()
    for hour in hours:
        whole.add(hour)
    found = [
        _beside(version, metric, interval(metric, hours), whole, answered, holdout[metric], rule)
        for metric in METRICS.get(output, ())
        if metric in holdout
    ]
    if output in ("binary", "multiclass"):
        found.append(_calibration(version, whole, output, rule))
    return found


def by_probabilities(
    version: int, now: Sure, reference: Sure, rule: Rule, calibrated: str, coverage: float | None
) -> Finding:
    """The accuracy that answers expect of themselves, beside that of the reference. ``calibrated``: what is found of
    that; ``coverage``: the share of the predictions that have a label by now.
    """
    of = "" if coverage is None else f"; {coverage:.0%} of them have a label"
    if calibrated == "alarm" or min(now.rows, reference.rows) < rule.min_labels or not reference.sums[0]:
        why = "answers are not calibrated, so they don't say" if calibrated == "alarm" else "too few answers to say"
        return _said(version, ESTIMATED, "accuracy", "insufficient", None, None, f"{why}{of}")
    spread = math.sqrt(now.variance / now.rows + reference.variance / reference.rows)
    limit = reference.mean * (1 - rule.drop)
    state = "alarm" if now.mean + float(stdtrit(now.rows - 1, SURE)) * spread < limit else "ok"
    expected = f"accuracy {now.mean:.3f} by the probabilities of {now.rows:,} answers"
    words = f"{expected}, {reference.mean:.3f} in the reference{of}"
    return _said(version, ESTIMATED, "accuracy", state, now.mean, limit, words)


def _beside(
    version: int, metric: str, found: Interval | None, whole: Quality, answered: int, holdout: float, rule: Rule
) -> Finding:
    more = HIGHER_IS_BETTER[metric]
    limit = holdout * (1 - rule.drop if more else 1 + rule.drop)
    if rule.floor is not None and rule.metric == metric:
        limit = max(limit, rule.floor) if more else min(limit, rule.floor)
    what = f"queries with all labels, {whole.rows:,} rows," if metric == "ndcg" else "labelled answers,"
    of = f"{whole.labelled:,} {what} {min(whole.rows / answered, 1):.0%} of all" if answered else "no answer"
    if found is None or whole.labelled < rule.min_labels:
        words = f"{of}; {rule.min_labels} in {LEAST_HOURS} hours are needed"
        return _said(version, QUALITY, metric, "insufficient", None, limit, words)
    worse = found.high < limit if more else found.low > limit
    words = f"{metric} {found.figure:.4g} ({found.low:.4g} to {found.high:.4g}) of {of}; {holdout:.4g} on the holdout"
    if rule.no_floor and rule.metric == metric:
        words = f"{words}; {rule.no_floor}"
    return _said(version, QUALITY, metric, "alarm" if worse else "ok", found.figure, limit, words)


def _calibration(version: int, whole: Quality, output: str, rule: Rule) -> Finding:
    """The expected calibration error, and whether chance explains it (the statistic of Hosmer and Lemeshow 1980, with
    the largest variance that answers of a bin may have).
    """
    limit = rule.max_calibration_error
    if whole.labelled < rule.min_labels:
        words = f"{whole.labelled:,} labelled answers; {rule.min_labels} are needed"
        return _said(version, CALIBRATION, "", "insufficient", None, limit, words)
    error = figures(whole, output)["calibration_error"]
    statistic, bins = 0.0, 0
    for n, stated, came in zip(whole.binned, whole.stated, whole.came, strict=True):
        if n > 0:
            variance = max(stated * (1 - stated / n), 1e-9)
            statistic, bins = statistic + (came - stated) ** 2 / variance, bins + 1
    p = float(chdtrc(bins, statistic))
    state = "alarm" if error > limit and p < SIGNIFICANT else "ok"
    words = f"predicted and observed are {error:.3f} apart over {whole.labelled:,} labelled answers (p = {p:.2g})"
    return Finding(version, CALIBRATION, "", state, state == "alarm", error, limit, p, words)


def _said(
    version: int, kind: str, subject: str, state: str, figure: float | None, limit: float | None, words: str
) -> Finding:
    return Finding(version, kind, subject, state, state == "alarm", figure, limit, None, words)
