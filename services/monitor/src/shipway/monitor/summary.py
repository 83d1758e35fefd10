"""What a window's predictions of one version were like, in sums of fixed size that add up. Pure.

Order does not matter, so batches may come in any order and from several monitors; each is added once (the inbox).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.contract.errors import Permanent
from shipway.monitor.bins import (
    Bins,
    Counts,
    Matrix,
    answers_of,
    cells_of,
    hashes,
    main_score,
    places_of,
    sureness_of,
)
from shipway.monitor.slices import Cells, Sliced, count, count_failed

# Latencies are counted by half powers of two of a microsecond, delays of a millisecond: known to a fifth.
LATENCIES = 64
REPEATS = 32
MAX_PLACES = 5000
SLOT = timedelta(minutes=1)
Key = tuple[str, int, datetime]
"""Model, version (0: none was chosen), and the minute that it begins with."""


def _none() -> Counts:
    return np.zeros(0, np.int64)


@dataclass
class Summary:
    """The sums. ``cells`` are the features' cells one after another, ``score`` those of the main score, ``answers`` by
    place; ``binned`` predictions are in ``answers`` and ``score``, ``rows`` of them, with features, in ``cells``.
    ``repeats`` has the most frequent inputs by hash, each at least so often; ``delays`` counts how long records took to
    get here. ``slices`` are by sliced feature; ``sureness`` as in Bins, of ``binned`` predictions.
    """

    answered: int = 0
    failed: int = 0
    refused: int = 0
    latencies: Counts = field(default_factory=lambda: np.zeros(LATENCIES, np.int64))
    binned: int = 0
    rows: int = 0
    cells: Counts = field(default_factory=_none)
    score: Counts = field(default_factory=_none)
    answers: Counts = field(default_factory=_none)
    repeats: dict[int, int] = field(default_factory=dict)
    delays: Counts = field(default_factory=_none)
    slices: dict[str, Sliced] = field(default_factory=dict)
    sureness: tuple[float, float] = (0.0, 0.0)

    def add(self, other: "Summary") -> None:
        """Adds another's sums, of the same version's bins."""
        for name in ("answered", "failed", "refused", "binned", "rows"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latencies = self.latencies + other.latencies
        for name in ("cells", "score", "answers", "delays"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if len(theirs):
                setattr(self, name, mine + theirs if len(mine) else theirs)
        self.sureness = (self.sureness[0] + other.sureness[0], self.sureness[1] + other.sureness[1])
        for name, sliced in other.slices.items():
            self.slices.setdefault(name, Sliced()).add(sliced)
        for value, times in other.repeats.items():
            self.repeats[value] = self.repeats.get(value, 0) + times
        if len(self.repeats) > REPEATS:
            self.repeats = dict(sorted(self.repeats.items(), key=lambda pair: -pair[1])[:REPEATS])

    def latency_us(self, share: float) -> float | None:
        """The latency that so large a share of the answers did not exceed, by the middle of its part."""
        total = int(self.latencies.sum())
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(self.latencies), math.ceil(share * total)))
        return float(2 ** ((place - 0.5) / 2)) if place else 1.0


def quantile_us(latencies: Counts, share: float) -> float | None:
    """The latency that so large a share of what was counted did not exceed, for people: within a part it goes by how
    much of the part is below, as Prometheus's histogram_quantile does. None of none.
    """
    below = np.cumsum(latencies)
    if not below[-1]:
        return None
    wanted = share * below[-1]
    place = int(np.searchsorted(below, wanted))
    within = (wanted - (below[place] - latencies[place])) / latencies[place]
    return float(2 ** ((place - 1 + within) / 2)) if place else 1.0


def summarise(
    batch: pa.Table, bins_of: Callable[[str, int], Bins | None], now: datetime | None = None
) -> dict[Key, Summary]:
    """A batch of the prediction log (its SCHEMA) by model, version and minute.

    ``bins_of`` gives a version's bins; where it has none, predictions are counted without their features. ``now``: when
    the batch came, for its delays.

    Raises:
        Permanent: a batch of so many versions and minutes as no gateway or predictor writes.
    """
    keys = pa.table(
        {
            "model": batch["model"],
            "version": pc.fill_null(batch["version"], 0),
            "slot": pc.floor_temporal(batch["at"], unit="minute"),
        }
    )
    found = {}
    places = keys.group_by(["model", "version", "slot"], use_threads=False).aggregate([]).to_pylist()
    if len(places) > MAX_PLACES:
        raise Permanent(f"a batch of {len(places)} models, versions and minutes; at most {MAX_PLACES} are allowed")
    for place in places:
        part = batch
        if len(places) > 1:
            same = pc.and_(pc.equal(keys["model"], place["model"]), pc.equal(keys["version"], place["version"]))
            part = batch.filter(pc.and_(same, pc.equal(keys["slot"], place["slot"])))
        bins = bins_of(place["model"], place["version"]) if place["version"] else None
        summary = _summary(part, bins)
        if now is not None:
            behind_us = now.timestamp() * 1e6 - part["at"].cast(pa.int64()).to_numpy()
            summary.delays = _counted(behind_us / 1000)
        found[place["model"], place["version"], place["slot"].astimezone(UTC)] = summary
    return found


def _summary(part: pa.Table, bins: Bins | None) -> Summary:
    outcomes: Mapping[str, int] = {row["values"]: row["counts"] for row in pc.value_counts(part["outcome"]).to_pylist()}
    found = Summary(outcomes.get("answered", 0), outcomes.get("failed", 0), outcomes.get("refused", 0))
    if found.failed and bins is not None and bins.slicings:
        _count_failed_slices(found, part.filter(pc.equal(part["outcome"], "failed")), bins)
    if found.answered != len(part):
        part = part.filter(pc.equal(part["outcome"], "answered"))
    if not found.answered:
        return found
    found.latencies = _counted(part["latency_us"].to_numpy())
    if bins is not None:
        _count_answers(found, part, bins)
        if bins.slicings:
            _count_slices(found, part.filter(pc.is_valid(part["features"])), bins)
    return found


def _count_answers(found: Summary, part: pa.Table, bins: Bins) -> None:
    outputs = len(bins.answers) if bins.output == "multiclass" else 1
    scores, scored = _matrix(part["scores"], outputs)
    scores = scores[np.isfinite(scores).all(axis=1)]
    if scored and len(scores):
        found.binned = len(scores)
        found.score = cells_of(bins.score, main_score(scores))
        sure = sureness_of(scores, bins.output)
        found.sureness = (float(sure.sum()), float((sure**2).sum()))
        answers = answers_of(scores, bins.output, bins.answer_edges)
        found.answers = np.bincount(answers, minlength=len(bins.answers)).astype(np.int64)
    rows, fit = _matrix(part["features"], None)
    width = len(bins.features)
    if not fit or rows.shape[1] < width or not len(rows):
        return
    found.rows = len(rows)
    found.cells = np.concatenate([cells_of(column, rows[:, i]) for i, column in enumerate(bins.features)])
    values, times = np.unique(hashes(rows), return_counts=True)
    often = np.argsort(-times)[:REPEATS]
    found.repeats = {int(values[i]): int(times[i]) for i in often}


def _count_slices(found: Summary, part: pa.Table, bins: Bins) -> None:
    """By the answered predictions whose features are in the log."""
    rows, fit = _matrix(part["features"], None)
    scores, scored = _matrix(part["scores"], len(bins.answers) if bins.output == "multiclass" else 1)
    if not fit or not scored or not len(rows) or len(scores) != len(rows) or rows.shape[1] < len(bins.features):
        return
    latencies = Cells(_places(part["latency_us"].to_numpy()), LATENCIES)
    score = Cells(places_of(bins.score, main_score(scores)).astype(np.int64), len(bins.score.reference))
    answers = Cells(answers_of(scores, bins.output, bins.answer_edges), len(bins.answers))
    for cut in bins.slicings:
        found.slices.setdefault(cut.name, Sliced()).add(count(cut, rows[:, cut.place], latencies, score, answers))


def _count_failed_slices(found: Summary, part: pa.Table, bins: Bins) -> None:
    rows, fit = _matrix(part["features"], None)
    if fit and len(rows) and rows.shape[1] >= len(bins.features):
        for cut in bins.slicings:
            found.slices.setdefault(cut.name, Sliced()).add(count_failed(cut, rows[:, cut.place]))


def _matrix(column: pa.ChunkedArray, width: int | None) -> tuple[Matrix, bool]:
    """A column of lists of numbers as (rows, numbers), without nulls; False where the lists are not of one length."""
    lists = column.combine_chunks().drop_null()
    if not len(lists):
        return np.zeros((0, width or 0)), True
    lengths = pc.min_max(pc.list_value_length(lists)).as_py()
    if lengths["min"] != lengths["max"] or lengths["min"] != (width or lengths["min"]) or not lengths["min"]:
        return np.zeros((0, width or 0)), False
    numbers = pc.list_flatten(lists).fill_null(math.nan).to_numpy(zero_copy_only=False)
    return numbers.reshape(len(lists), lengths["min"]), True


def _places(times: Matrix) -> Counts:
    """The cell of each time."""
    cells: Counts = np.ceil(2 * np.log2(np.maximum(times, 1))).astype(np.int64)
    return np.minimum(cells, LATENCIES - 1)


def _counted(times: Matrix) -> Counts:
    return np.bincount(_places(times), minlength=LATENCIES).astype(np.int64)
