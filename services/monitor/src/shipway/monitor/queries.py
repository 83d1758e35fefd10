"""The labelled rows of a ranking's queries, in PostgreSQL: what new and changed labels do to the quality of queries.

Every function works within a transaction that has the model's labels alone.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shipway.monitor.labelling import Answer
from shipway.monitor.quality import Judge
from shipway.monitor.rankings import Query, Row, Standing, judge
from shipway.monitor.tables import labels
from shipway.runtime.database import Transaction


@dataclass(frozen=True)
class Change:
    """What labels said of a version's query ``before`` (None: there were none), and say ``now``."""

    version: int
    before: Standing | None
    now: Standing | None


async def changes(
    tx: Transaction, model: str, found: Sequence[tuple[Any, Answer]], judges: Mapping[int, Judge]
) -> list[Change]:
    """What labels (rows of the table, not marked as counted yet) do to the queries that their predictions are of."""
    known = await _labelled(tx, model, {answer.query for _, answer in found if answer.query})
    before = {name: Query(rows, dict(labelled)) for name, (rows, labelled) in known.items()}
    places: defaultdict[tuple[int, int], dict[str, None]] = defaultdict(dict)
    for row, answer in found:
        assert answer.query
        rows, labelled = known.get(answer.query, (0, {}))
        labelled[row.prediction_id] = _row(row, answer.at, answer.scores, row.label)
        known[answer.query] = max(rows, answer.query_rows), labelled
        places[answer.version, judges[answer.version].ndcg_at or 0][answer.query] = None
    return [
        Change(version, *pair)
        for (version, at), names in places.items()
        for pair in zip(
            judge([before.get(name, Query(0)) for name in names], at),
            judge([Query(*known[name]) for name in names], at),
            strict=True,
        )
    ]


def counts(changed: Sequence[Change]) -> Counter[str]:
    """How many queries more than before are partly labelled, or tell nothing; less than 0 where they are fewer."""
    found: Counter[str] = Counter()
    for _, standing, times in both(changed):
        if standing.state != "judged":
            found[standing.state] += times
    return found


def both(changed: Sequence[Change]) -> Iterator[tuple[int, Standing, int]]:
    """What was (-1) and what is (1) of each query, with its version."""
    for change in changed:
        yield from (
            (change.version, one, times) for one, times in ((change.before, -1), (change.now, 1)) if one is not None
        )


async def _labelled(tx: Transaction, model: str, names: Collection[str]) -> dict[str, tuple[int, dict[str, Row]]]:
    """How many rows each query has, and those whose labels are counted."""
    these = labels.c.query == sa.any_(sa.literal(sorted(names), sa.ARRAY(sa.Text)))
    counted = sa.select(labels).where(labels.c.model == model, these, labels.c.counted.is_not(None))
    found: dict[str, tuple[int, dict[str, Row]]] = {}
    for row in (await tx.execute(counted)).all():
        rows, labelled = found.get(row.query, (0, {}))
        labelled[row.prediction_id] = _row(row, row.predicted_at, row.scores, row.counted)
        found[row.query] = max(rows, row.query_rows), labelled
    return found


def _row(row: Any, at: datetime, scores: Sequence[float], label: Any) -> Row:
    return Row(scores[0] if len(scores) == 1 else math.nan, label, at, row.received_at)
