"""A version beside the champion: how both were judged, and how both do in service. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipway.monitor.bins import Counts
from shipway.monitor.dashboard import figures
from shipway.monitor.quality import Quality, mean_loss
from shipway.monitor.summary import quantile_us


@dataclass(frozen=True)
class Line:
    """One figure of each side, as text; ``better``: the place of the better one, where that can be said."""

    name: str
    texts: Sequence[str]
    better: int | None = None


@dataclass(frozen=True)
class Service:
    """How a version did in service over a time."""

    answered: int = 0
    failed: int = 0
    latency_us: float = 0.0

    @property
    def error_share(self) -> float | None:
        """The share that failed."""
        total = self.answered + self.failed
        return self.failed / total if total else None

    @property
    def mean_us(self) -> float | None:
        """The mean time of an answer."""
        return self.latency_us / self.answered if self.answered else None


def services(rows: Iterable[Any]) -> dict[int, Service]:
    """Each version's service, of rows as ``sums.traffic`` gives them."""
    found: dict[int, Service] = {}
    for row in rows:
        one = found.get(row.version, Service())
        answered, failed = row.outcome == "answered", row.outcome == "failed"
        found[row.version] = Service(
            one.answered + int(row.number) * answered,
            one.failed + int(row.number) * failed,
            one.latency_us + float(row.latency_us) * answered,
        )
    return found


SMALLER_IS_BETTER = frozenset({"log_loss", "rmse", "mae", "mape", "calibration_error"})


def lines(
    versions: Sequence[Mapping[str, Any]],
    in_service: Mapping[int, Service],
    totals: Mapping[int, Quality],
    took: Mapping[int, Counts],
    ndcg_at: Mapping[int, int],
) -> list[Line]:
    """The figures of some versions beside each other; in the order of ``versions``, rows of the monitor's table.

    ``took``: of each version how long answers took, as Summary.latencies. ``ndcg_at``: of rankings, how many of the
    best rows of each query count; where that differs, neither is better by it.
    """
    numbers = [int(row["version"]) for row in versions]
    of = [in_service.get(number, Service()) for number in numbers]
    found = [
        Line("answers", [figures.count(s.answered) for s in of]),
        Line("failed", [figures.share(s.error_share) for s in of]),  # which is better, chance may have decided
        Line("mean latency", [figures.latency(s.mean_us) for s in of]),
    ]
    known = [took.get(number) for number in numbers]
    if any(one is not None for one in known):
        slowest = [quantile_us(one, 0.99) if one is not None else None for one in known]
        found.append(Line("p99 latency", [figures.latency(us) for us in slowest]))
    cuts = [ndcg_at.get(number) for number in numbers]
    exams = [f"NDCG@{cut}" if cut is not None else "another measure" for cut in cuts]
    unlike = f" (by {', '.join(exams)})" if len(set(cuts)) > 1 else ""
    losses = [mean_loss(totals[number]) if number in totals else None for number in numbers]
    if any(losses):
        texts = [
            figures.NONE
            if one is None
            else figures.figure(one.mean)
            + (f" ({figures.figure(one.low)} to {figures.figure(one.high)})" if one.low is not None else "")
            for one in losses
        ]
        found.append(Line(f"loss by labels{unlike}", texts, None if unlike else _apart(losses)))
    judged = [row["metrics"] or {} for row in versions]
    for name in dict.fromkeys(metric for one in judged for metric in one):
        values = [one.get(name) for one in judged]
        other = unlike if name == "ndcg" else ""
        better = None if other else better_of(values, smaller=name in SMALLER_IS_BETTER)
        found.append(Line(f"{name} when judged{other}", [figures.figure(v) for v in values], better))
    return found


def better_of(values: Sequence[float | None], *, smaller: bool = True) -> int | None:
    """The place of the best of some figures; None where one is not known, or all are alike."""
    if len(values) < 2 or any(v is None for v in values) or len(set(values)) == 1:
        return None
    known = [v for v in values if v is not None]
    return known.index(min(known) if smaller else max(known))


def _apart(losses: Sequence[Any]) -> int | None:
    """The better of two whose intervals do not touch."""
    if len(losses) != 2 or any(one is None or one.low is None for one in losses):
        return None
    a, b = losses
    return 0 if a.high < b.low else 1 if b.high < a.low else None
