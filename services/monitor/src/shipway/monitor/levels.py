"""The service levels of a model: each with its target and objective, and which requests keep it. Pure."""

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from shipway.contract.spec import ModelSpec, format_duration
from shipway.monitor.bins import Counts as Places
from shipway.monitor.budgets import Counts
from shipway.monitor.phases import Phase
from shipway.monitor.summary import Summary

AVAILABILITY, LATENCY, LOG = "availability", "latency", "log"
OF_LATENCY = 0.99  # service_levels.latency_p99 says so


@dataclass(frozen=True)
class Level:
    """A share of ``objective`` is to keep ``target``. ``least``: fewer are no evidence. ``counted``: of requests and
    log records, by slots of five minutes; else of runs of a phase. ``holds_releases``: where its budget is spent and
    the model file says so.
    """

    name: str
    of: str
    target: timedelta | None
    objective: float
    least: int
    counted: bool = False
    holds_releases: bool = False

    @property
    def words(self) -> str:
        """The target in words."""
        return f"within {format_duration(self.target)}" if self.target is not None else "without failure"


def phase_targets(spec: ModelSpec) -> dict[Phase, timedelta]:
    """How long each phase of a model may take. ``deferred`` is no level: it waits by rule, but not for ever."""
    said = spec.service_levels
    return {
        "accepted": said.accepted_within,
        "trained": said.trained_within or said.request_to_serving,
        "judged": said.judged_within,
        "released": said.released_within,
        "seen": said.seen_within,
        "serving": said.request_to_serving,
        "retired": said.retired_within,
        "deferred": said.deferred_at_most,
    }


_OF: dict[Phase, str] = {
    "accepted": "training requests, to acceptance",
    "trained": "accepted requests, to the version",
    "judged": "versions, to approval or rejection",
    "released": "approved versions, to their first traffic",
    "seen": "promotions, to the last instance and gateway that goes by it",
    "serving": "training requests, to the champion",
    "retired": "retired versions, to the last instance that lets go",
}


def levels_of(spec: ModelSpec) -> list[Level]:
    """Every level of a model, in the order of a version's life."""
    said, targets = spec.service_levels, phase_targets(spec)
    runs = math.ceil(1 / (1 - said.in_time))  # of fewer, one that is late would spend it all
    found = [Level(phase, of, targets[phase], said.in_time, runs) for phase, of in _OF.items()]
    asked = said.budget_min_requests
    found.append(Level(AVAILABILITY, "requests", None, said.availability, asked, counted=True, holds_releases=True))
    if said.latency_p99 is not None:
        of = Level(LATENCY, "answers", said.latency_p99, OF_LATENCY, asked, counted=True, holds_releases=True)
        found.append(of)
    found.append(Level(LOG, "log records", said.logged_within, said.in_time, asked, counted=True))
    return found


def serving_counts(window: Summary, spec: ModelSpec) -> dict[str, Counts]:
    """How often what a summary counts kept each level and missed it. Refusals are not the service's fault."""
    said = spec.service_levels
    found = {AVAILABILITY: Counts(window.answered, window.failed)}
    if said.latency_p99 is not None:
        found[LATENCY] = _within(window.latencies, said.latency_p99 / timedelta(microseconds=1))
    found[LOG] = _within(window.delays, said.logged_within / timedelta(milliseconds=1))
    return {name: counts for name, counts in found.items() if counts.total}


def _within(places: Places, limit: float) -> Counts:
    """Of values that are counted by half powers of two (see summary) those up to a limit; of its place a part."""
    total, last = int(places.sum()), 2 * np.log2(max(limit, 1))
    whole = int(last)
    part = (last - whole) * places[whole + 1] if whole + 1 < len(places) else 0
    good = int(places[: whole + 1].sum()) + round(float(part))
    return Counts(good, total - good)
