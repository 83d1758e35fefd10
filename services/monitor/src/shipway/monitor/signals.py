"""Whether a window's predictions were unusual: traffic, errors, latency, answers, inputs, gaps. Pure.

Each gives a Signal: ok, alarm, or insufficient where there is too little to say so. Shares are compared with the
reference by the exact binomial tail, and only where the difference is large enough to matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import numpy as np
from scipy.special import bdtrc

from shipway.monitor.bins import MISSING, NOT_KNOWN, Bins, Counts
from shipway.monitor.dayspread import rows_worth
from shipway.monitor.slices import Slicing
from shipway.monitor.summary import LATENCIES, Summary

State = Literal["ok", "alarm", "insufficient"]
SIGNIFICANT = 1e-4  # of one test; a window has as many as its features and answers


@dataclass(frozen=True)
class Signal:
    """What a window says of ``kind`` (and of ``subject``, a feature or an answer): the figure, its limit, in words."""

    kind: str
    subject: str
    state: State
    figure: float | None
    limit: float | None
    reason: str


@dataclass(frozen=True)
class Limits:
    """What is unusual. ``traffic_low`` and ``traffic_high`` are factors of the usual."""

    traffic_low: float = 0.2
    traffic_high: float = 5.0
    traffic_min: int = 50
    max_error_share: float = 0.05
    min_requests: int = 50
    latency_us: float | None = None
    rare_factor: float = 3.0
    repeat_share: float = 0.3
    gap_rise: float = 0.05


def traffic(now: int, before: Sequence[int], limits: Limits) -> Signal:
    """Requests of a model beside those in the same window of the days before (the median of these)."""
    if not before:
        return Signal("traffic", "", "insufficient", now, None, "nothing is known of the days before at this time")
    usual = median(before)
    words = f"{now or 'no'} requests; {usual:g} are usual at this time"
    low, high = limits.traffic_low * usual, limits.traffic_high * max(usual, limits.traffic_min)
    if now > high:
        return Signal("traffic", "", "alarm", now, high, words)
    if usual < limits.traffic_min:
        return Signal("traffic", "", "insufficient", now, None, words)
    state: State = "alarm" if now < low or now == 0 else "ok"
    return Signal("traffic", "", state, now, low, words)


def errors(window: Summary, limits: Limits) -> Signal:
    """The share of a version's requests that failed; refusals are not its fault."""
    total = window.answered + window.failed
    if total < limits.min_requests:
        return Signal("errors", "", "insufficient", None, limits.max_error_share, f"{total} requests are too few")
    share = window.failed / total
    state: State = "alarm" if share > limits.max_error_share else "ok"
    return Signal("errors", "", state, share, limits.max_error_share, f"{window.failed} of {total} requests failed")


def latency(window: Summary, limits: Limits) -> Signal | None:
    """The 99th percentile of latency; None where the model file has no limit."""
    if limits.latency_us is None:
        return None
    found = window.latency_us(0.99)
    if found is None or window.answered < limits.min_requests:
        return Signal("latency", "", "insufficient", found, limits.latency_us, f"{window.answered} answers are too few")
    state: State = "alarm" if found > limits.latency_us else "ok"
    return Signal("latency", "", state, found, limits.latency_us, f"99 of 100 answers within {found / 1000:.1f} ms")


def of_slices(window: Summary, slicings: Sequence[Slicing], limits: Limits) -> list[Signal]:
    """Errors and latency of each part of the traffic, by the predictions whose features are in the log."""
    found = []
    for cut in slicings:
        sums = window.slices.get(cut.name)
        for i, name in enumerate(cut.names) if sums is not None else ():
            assert sums is not None
            part = Summary(_at(sums.answered, i), _at(sums.failed, i))
            if part.answered + part.failed < limits.min_requests:
                continue  # rare parts, of which there may be many, are not worth a line each
            if len(sums.latencies):
                part.latencies = sums.latencies.reshape(len(cut.names), LATENCIES)[i]
            said = [errors(part, limits), latency(part, limits)]
            found += [replace(one, subject=f"{cut.name}={name}") for one in said if one is not None]
    return found


def rare_answers(window: Summary, bins: Bins, limits: Limits) -> list[Signal]:
    """Answers that come much more often than in the reference."""
    found = []
    expected = bins.answers_reference
    for name, times, before in zip(bins.answers, _or_none(window.answers, len(expected)), expected, strict=True):
        usual = float(before + 1) / (bins.rows + len(expected))  # Laplace: what never came is rare, not impossible
        limit = limits.rare_factor * usual
        found.append(_share("rare answer", name, int(times), window.binned, usual, limit, limits.min_requests))
    return found


def rare_in_slices(window: Summary, bins: Bins, limits: Limits) -> list[Signal]:
    """Answers that come much more often than in the reference in a part of the traffic. Both are samples, and may be
    small: the test is exact for two counts (Przyborowski and Wilenski 1940), and its level is shared by all of them.
    """
    tested = []
    for cut in bins.slicings:
        sums, kinds = window.slices.get(cut.name), len(bins.answers)
        if sums is None or not len(sums.answers) or not len(cut.answers):
            continue
        pairs = zip(cut.names, sums.answers.reshape(-1, kinds), cut.answers.reshape(-1, kinds), strict=True)
        for part, seen, before in pairs:
            rows, reference = int(seen.sum()), int(before.sum())
            if rows < limits.min_requests or reference < limits.min_requests:
                continue
            for answer, times, usual_times in zip(bins.answers, seen.tolist(), before.tolist(), strict=True):
                usual = (usual_times + 1) / (reference + kinds)
                together = times + usual_times
                p = float(bdtrc(times - 1, together, rows / (rows + reference))) if times else 1.0
                tested.append((f"{answer} where {cut.name}={part}", times, rows, usual, p))
    found = []
    for subject, times, rows, usual, p in tested:
        share, limit = times / rows, limits.rare_factor * usual
        state: State = "alarm" if share > limit and p * len(tested) < SIGNIFICANT else "ok"
        words = f"{times} of {rows} predictions ({share:.1%}); {usual:.1%} are usual there"
        found.append(Signal("rare answer", subject, state, share, limit, words))
    return found


def repeats(window: Summary, bins: Bins, limits: Limits) -> Signal:
    """The same input again and again: a client that tries again without end, or an attack."""
    limit = max(limits.repeat_share, limits.rare_factor * bins.repeated)
    most = max(window.repeats.values(), default=0)
    if window.rows < limits.min_requests:
        return Signal("same input", "", "insufficient", None, limit, f"{window.rows} inputs are too few")
    share = most / window.rows
    words = f"{most} of {window.rows} inputs are the same"
    return Signal("same input", "", "alarm" if share > min(limit, 1) else "ok", share, limit, words)


def gaps(
    window: Summary, bins: Bins, limits: Limits, hidden: frozenset[str], days: Sequence[Counts] = ()
) -> list[Signal]:
    """Features that are missing, or hold unknown categories, more often than in the reference. ``days``: the cells that
    the window's are the sum of; the more days differ in the reference, the less their rows say (see dayspread).
    """
    sizes = [int(day[: len(bins.features[0].reference)].sum()) for day in days if len(day)] if bins.features else []
    found, place = [], 0
    for column in bins.features:
        cells = window.cells[place : place + len(column.reference)]
        place += len(column.reference)
        if column.name in hidden:
            continue
        kinds = (("missing values", MISSING), ("unseen values", NOT_KNOWN))
        for kind, cell in kinds[: 1 if column.codes is None else 2]:
            usual = (column.reference[cell] + 1) / (bins.rows + 2)
            times = int(cells[cell]) if len(cells) else 0
            limit, worth = usual + limits.gap_rise, float(window.rows)
            if column.spread is not None and any(sizes):
                worth = rows_worth(column.spread, cell, sizes)
            found.append(_share(kind, column.name, times, window.rows, usual, limit, limits.min_requests, worth))
    return found


def _share(
    kind: str,
    subject: str,
    times: int,
    rows: int,
    usual: float,
    limit: float,
    least: int,
    worth: float | None = None,
) -> Signal:
    """``worth``: as how many independent rows they count."""
    if rows < least:
        return Signal(kind, subject, "insufficient", None, limit, f"{rows} predictions are too few")
    share = times / rows
    known = max(round(rows if worth is None else worth), 1)
    unusual = share > limit and float(bdtrc(round(share * known) - 1, known, min(usual, 1.0))) < SIGNIFICANT
    words = f"{times} of {rows} predictions ({share:.1%}); {usual:.1%} are usual"
    return Signal(kind, subject, "alarm" if unusual else "ok", share, limit, words)


def _at(counts: np.ndarray, place: int) -> int:
    return int(counts[place]) if len(counts) else 0


def _or_none(counts: np.ndarray, size: int) -> np.ndarray:
    return counts if len(counts) else np.zeros(size, np.int64)
