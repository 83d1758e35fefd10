"""How good the answers to a query were, by the labels of its rows. Pure.

A query counts once each of its rows has a label that is a relevance: NDCG of a part of it says little of the whole, as
fewer rows are easier to put in order. It counts once, however many rows it has. One whose rows are all equally relevant
can't be ranked well or badly, and tells nothing, as on the holdout (bundle.ranking).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from shipway.bundle.features import MAX_RELEVANCE
from shipway.bundle.ranking import Ranked, ndcg_by_query
from shipway.monitor.labelling import Value
from shipway.monitor.quality import Judged, Quality

State = Literal["partial", "alike", "judged"]


@dataclass(frozen=True)
class Row:
    """A row of a query that has a label: its ``score``, when it was predicted, and when the label came."""

    score: float
    label: Value
    at: datetime
    came_at: datetime


@dataclass(frozen=True)
class Query:
    """A version's answers to a query of so many ``rows``, as far as these have a label, by prediction."""

    rows: int
    labelled: Mapping[str, Row] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """What labels say of a query of so many ``rows``, predicted ``at``: of one that is judged its ``loss``, 1 - NDCG.

    ``delay``: how long after that the last label came.
    """

    state: State
    rows: int
    at: datetime
    delay: timedelta
    loss: float | None = None

    def count(self, sums: Quality, times: int) -> None:
        """Adds the query to the sums, if all of its labels are there; with ``times`` -1 takes it off."""
        if self.loss is not None:
            sums.count(Judged(self.loss, rows=self.rows), self.delay, times)
        elif self.state == "alike":
            sums.ripen(self.rows, self.delay, times)


def name_of(version: int, trace_id: str | None, query: str) -> str:
    """What a query is called among a model's labels. By the request too, as a page may be asked for again."""
    return hashlib.blake2b(f"{version} {trace_id or ''} {query}".encode(), digest_size=16).hexdigest()


def relevance(label: Value) -> float | None:
    """How relevant a label says that a row is; None where it is none of a ranking's."""
    if isinstance(label, str) or not 0 <= label <= MAX_RELEVANCE or label != int(label):
        return None
    return float(label)


def judge(queries: Sequence[Query], at: int) -> list[Standing | None]:
    """What labels say of each query, by its best ``at`` rows; None of one without labels."""
    found = [_standing(query) for query in queries]
    told = [place for place, one in enumerate(found) if one is not None and one.state == "judged"]
    rows = [(place, row) for place in told for row in queries[place].labelled.values()]
    labels = np.array([relevance(row.label) for _, row in rows], np.float64)
    scores = np.array([row.score for _, row in rows], np.float64)
    numbers = np.array([place for place, _ in rows], np.int64)
    for place, ndcg in zip(told, ndcg_by_query(labels, scores, Ranked(numbers, at)).tolist(), strict=True):
        one = found[place]
        assert one is not None
        found[place] = replace(one, loss=min(max(1 - ndcg, 0.0), 1.0))
    return found


def _standing(query: Query) -> Standing | None:
    """That of a query without its loss."""
    rows = query.labelled.values()
    if not rows:
        return None
    known = [relevance(row.label) for row in rows if np.isfinite(row.score)]
    relevances = {one for one in known if one is not None}
    at = min(row.at for row in rows)
    state: State = "judged" if len(relevances) > 1 else "alike"
    if sum(one is not None for one in known) < query.rows:
        state = "partial"
    return Standing(state, query.rows, at, max(row.came_at for row in rows) - at)
