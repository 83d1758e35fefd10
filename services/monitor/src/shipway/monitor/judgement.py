"""What the windows of a model say: every signal and drift as findings, by the model file's rules. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shipway.contract.spec import ModelSpec
from shipway.monitor import drift, signals
from shipway.monitor.bins import Bins
from shipway.monitor.summary import Summary

DRIFT = "drift"
WHOLE_MODEL = 0
PART_QUALITY = "part quality"
MISSING_LABELS, LABEL_DRIFT = "missing labels", "label drift"
NEW_COMBINATIONS = "new combinations"
BY_DRIFT_WINDOW = (
    DRIFT,
    "missing values",
    "unseen values",
    "quality",
    PART_QUALITY,
    "calibration",
    "estimated quality",
)
BY_DAY = (MISSING_LABELS, LABEL_DRIFT)
"""Kinds that are judged at the end of a day, whatever the windows."""


@dataclass(frozen=True)
class Finding:
    """One judgement. ``version`` 0: of the whole model. ``state``: ok, alarm, drift or insufficient."""

    version: int
    kind: str
    subject: str
    state: str
    alarm: bool
    figure: float | None
    limit: float | None
    p: float | None
    reason: str


def limits_of(spec: ModelSpec) -> signals.Limits:
    """What is unusual of a model."""
    rule, levels = spec.monitoring, spec.service_levels
    latency = levels.latency_p99
    return signals.Limits(
        traffic_low=rule.traffic_low,
        traffic_high=rule.traffic_high,
        traffic_min=rule.traffic_min,
        max_error_share=levels.max_error_share,
        min_requests=levels.min_requests,
        latency_us=latency / timedelta(microseconds=1) if latency is not None else None,
        rare_factor=rule.rare_answer_factor,
        repeat_share=rule.same_input_share,
        gap_rise=rule.gap_rise,
    )


def rule_of(spec: ModelSpec) -> drift.Rule:
    """When a column of a model counts as drifted."""
    rule = spec.monitoring
    return drift.Rule(
        min_rows=rule.drift_min_rows,
        effect=rule.drift_effect,
        false_discoveries=rule.drift_false_discoveries,
        windows=rule.drift_of,
        at_least=rule.drift_at_least,
        at_once=rule.drift_at_once,
    )


def window(
    by_version: Mapping[int, Summary], before: Sequence[int], bins: Mapping[int, Bins], limits: signals.Limits
) -> list[Finding]:
    """What a window says, of the model and of each version in it; ``before``: requests in the windows of days before.
    Gaps are judged beside the drift, over the drift's windows.
    """
    requests = sum(s.answered + s.failed + s.refused for s in by_version.values())
    found = [_finding(WHOLE_MODEL, signals.traffic(requests, before, limits))]
    for version, summary in sorted(by_version.items()):
        if version == WHOLE_MODEL:
            continue
        found.append(_finding(version, signals.errors(summary, limits)))
        if (slow := signals.latency(summary, limits)) is not None:
            found.append(_finding(version, slow))
        if (of := bins.get(version)) is not None:
            found += [_finding(version, s) for s in signals.of_slices(summary, of.slicings, limits)]
            found += [_finding(version, s) for s in signals.rare_answers(summary, of, limits)]
            found += [_finding(version, s) for s in signals.rare_in_slices(summary, of, limits)]
            found.append(_finding(version, signals.repeats(summary, of, limits)))
    return found


def drifts(
    version: int,
    summary: Summary,
    bins: Bins,
    rule: drift.Rule,
    limits: signals.Limits,
    hidden: frozenset[str],
    recent: Mapping[str, Sequence[str]],
    days: Sequence[Summary] = (),
) -> list[Finding]:
    """What a drift window says of a version; ``recent``: the states of the windows before, by column, newest last.
    ``days``: what ``summary`` is made of, day by day.
    """
    by_day = [(day.cells, day.score) for day in days]
    found = [_finding(version, s) for s in signals.gaps(summary, bins, limits, hidden, [cells for cells, _ in by_day])]
    for one in drift.judge(bins, summary.cells, summary.score, rule, hidden, by_day):
        alarm = one.sudden or drift.alarmed([*recent.get(one.column, ()), one.state], rule)
        found.append(
            Finding(version, DRIFT, one.column, one.state, alarm, one.effect, rule.effect, one.p, _words(one, rule))
        )
    return found


def slice_drifts(
    version: int,
    summary: Summary,
    bins: Bins,
    rule: drift.Rule,
    recent: Mapping[str, Sequence[str]],
    days: Sequence[Summary] = (),
) -> list[Finding]:
    """What a drift window says of the score in each slice; ``recent`` and ``days`` as of drifts."""
    found = []
    for one in drift.judge_slices(bins, summary.slices, rule, [day.slices for day in days]):
        alarm = drift.alarmed([*recent.get(one.column, ()), one.state], rule)
        words = _words(one, rule)
        found.append(Finding(version, DRIFT, one.column, one.state, alarm, one.effect, rule.effect, one.p, words))
    return found


def silent(version: int, kind: str, subject: str) -> Finding:
    """What is said of a version that was not asked in a window."""
    return Finding(version, kind, subject, "insufficient", False, None, None, None, "no predictions in the window")


def _finding(version: int, signal: signals.Signal) -> Finding:
    alarm = signal.state == "alarm"
    return Finding(
        version, signal.kind, signal.subject, signal.state, alarm, signal.figure, signal.limit, None, signal.reason
    )


def _words(one: drift.Drift, rule: drift.Rule) -> str:
    if one.effect is None or one.p is None:
        return f"{one.rows} predictions with it; {rule.min_rows} are needed, of the reference too"
    return f"{one.effect:.1%} of {one.rows} predictions lie elsewhere than in the reference (p = {one.p:.2g})"
