"""Whether a version is good enough: against a floor, against the champion, in each slice, and in its probabilities."""

import math

from shipway.bundle.metrics import HIGHER_IS_BETTER
from shipway.contract.events import Gate
from shipway.contract.spec import ModelSpec
from shipway.evaluator.facts import Calibration, Champion, Difference, Measured, Slice
from shipway.evaluator.gates.limits import regression_limit, slice_limit
from shipway.evaluator.gates.outcome import NOT_JUDGED, apart, gate, not_worse


def floor(spec: ModelSpec, measured: Measured) -> Gate:
    """The metric reaches the floor, whatever the champion does."""
    figure, limit = measured.metrics.get(spec.metric, math.nan), spec.gates.floor
    if not math.isfinite(figure):
        return gate("floor", False, f"{spec.metric} is not defined on this holdout", None, limit)
    if limit is None:
        return gate("floor", True, f"{spec.metric} {figure:.4g}; no floor is set", figure, None)
    words = f"{spec.metric} {figure:.4g}, {'at least' if HIGHER_IS_BETTER[spec.metric] else 'at most'} {limit:g}"
    return gate("floor", not_worse(spec.metric, figure, limit), words + " is needed", figure, limit)


def champion(spec: ModelSpec, measured: Measured, reigning: Champion | None) -> Gate:
    """Against the champion on the same rows; the first version, or one whose champion can't be scored, otherwise.

    Such a version must beat a constant prediction, beyond chance.
    """
    theirs = measured.champion.get(spec.metric, math.nan)
    if reigning is not None and math.isfinite(theirs):
        return _against(spec, measured, reigning.version, theirs)
    figure, limit = (of.get(spec.metric, math.nan) for of in (measured.metrics, measured.constant))
    better = measured.beats_constant
    if better is None or not (math.isfinite(figure) and math.isfinite(limit)):
        return gate("champion", False, f"{spec.metric} is not defined on this holdout")
    sure = better.figure if better.low is None else better.low
    words = f"{spec.metric} {figure:.4g}, must beat {limit:.4g} of a constant prediction: {_words(spec, better)}"
    if reigning is None:
        return gate("champion", sure > 0, words + "; there is no champion yet", sure, 0)
    why = measured.champion_problem or f"its {spec.metric} is not defined"
    return gate("champion", sure > 0, f"{words}; champion {reigning.version} can't be compared: {why}", sure, 0)


def _against(spec: ModelSpec, measured: Measured, version: int, theirs: float) -> Gate:
    """Not inferior: sure to be worse by no more than what is allowed. Better: sure to be better."""
    figure, better = measured.against_champion.get(spec.metric, math.nan), measured.better_by
    if better is None or not math.isfinite(figure):
        return gate("champion", False, f"{spec.metric} is not defined on this holdout")
    sure = better.figure if better.low is None else better.low
    words = f"{spec.metric} {figure:.4g}, {theirs:.4g} of champion {version}: {_words(spec, better)}"
    if spec.gates.comparison == "better":
        return gate("champion", sure > 0, words + "; it must be better", sure, 0)
    allowed = regression_limit(spec, theirs)
    return gate("champion", sure >= -allowed, f"{words}; {allowed:.4g} worse is allowed", sure, -allowed)


def _words(spec: ModelSpec, better: Difference) -> str:
    if better.low is None or better.high is None:
        return f"{apart(better.figure)}, on too few rows for an interval"
    return f"{apart(better.figure)} ({better.low:+.4f} to {better.high:+.4f}, each end {spec.gates.confidence:g} sure)"


def slices(spec: ModelSpec, found: list[Slice], reigning: Champion | None) -> Gate:
    """No slice falls below the champion's by more than its limit, unless chance may have done it.

    ``found`` have intervals that are corrected for the number of slices.
    """
    if not spec.gates.slices:
        return gate("slices", True, "no slices are declared")
    if reigning is None:
        return gate("slices", True, f"{len(found)} slices measured; there is no champion yet to fall below")
    judged = [s for s in found if s.rows >= spec.gates.min_slice_rows and s.better_by is not None]
    if not judged:
        return gate("slices", True, f"none of {len(found)} slices has {spec.gates.min_slice_rows:,} rows to judge by")
    margins = [(_margin(spec, s), s) for s in judged]
    fallen = [s for margin, s in margins if margin < 0 and _sure(s)]
    _, worst = min(margins, key=lambda one: one[0])
    named = "; ".join(_slice_words(s) for s in fallen[:5]) or f"the worst of {len(judged)} is {_slice_words(worst)}"
    limit = slice_limit(spec, worst.against or 0.0)
    assert worst.better_by is not None
    return gate("slices", not fallen, f"{named}; {limit:.4g} worse is allowed", worst.better_by.figure, -limit)


def _margin(spec: ModelSpec, one: Slice) -> float:
    """How far a slice is from its limit; negative is below it."""
    assert one.better_by is not None
    return one.better_by.figure + slice_limit(spec, one.against or 0.0)


def _sure(one: Slice) -> bool:
    """Whether chance alone does not explain that the slice is worse."""
    assert one.better_by is not None
    return one.better_by.high is not None and one.better_by.high < 0


def _slice_words(one: Slice) -> str:
    assert one.better_by is not None
    return f"{one.column}={one.value}: {apart(one.better_by.figure)} ({one.rows:,} rows)"


def calibration(spec: ModelSpec, found: Calibration | None) -> Gate:
    """Predictions mean what they say, where the spec sets a limit."""
    limit = spec.gates.max_calibration_error
    if spec.target.kind == "ranking":
        return gate("calibration", True, "scores of a ranking state no probability and no value", None, None)
    if found is None:
        words = "there are too few rows to see whether predictions mean what they say"
        return gate("calibration", limit is None, words if limit is None else NOT_JUDGED + words, None, limit)
    unit = " standard deviations of the target" if spec.target.kind == "regression" else ""
    words = f"predicted and observed are {found.error:.3f}{unit} apart on average"
    if limit is None:
        return gate("calibration", True, words + "; no limit is set", found.error, None)
    return gate("calibration", found.error <= limit, f"{words}, {limit:g} is allowed", found.error, limit)
