"""What becomes of a label that comes in: new, doubled, conflicting. Pure.

Of several labels of one prediction the one observed last holds, whatever the order they come in. Of two observed at
the same moment the greater text does: so that every order ends alike.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

Value = str | float | bool


@dataclass(frozen=True)
class Label:
    """What a prediction of ``model`` should have said, and when that became known. ``times``: how often it changed."""

    model: str
    prediction_id: str
    value: Value
    observed_at: datetime
    times: int = 1


@dataclass(frozen=True)
class Answer:
    """What a prediction said: the version that gave it, when, its numbers, and the ``parts`` of the traffic that it is
    in (None: they are not counted).

    ``query``: of a ranking, the name of the query that it is a row of ("": its client named none; None: that was not
    asked), and how many rows that has.
    """

    version: int
    at: datetime
    scores: tuple[float, ...]
    parts: tuple[str, ...] | None = None
    query: str | None = None
    query_rows: int = 0


@dataclass(frozen=True)
class Arrival:
    """The labels to write, new or changed, by prediction; and how many came how."""

    write: Mapping[str, Label]
    counts: Counter[str] = field(default_factory=Counter)


def observed(at: datetime, now: datetime) -> datetime:
    """When a label became known: not later than now, for a clock that is ahead must not hold off corrections."""
    return min(at if at.tzinfo else at.replace(tzinfo=UTC), now)


def arrive(known: Mapping[str, Label], coming: Iterable[Label]) -> Arrival:
    """Takes labels in, beside those that are known of the same predictions."""
    found: dict[str, Label] = {}
    counts: Counter[str] = Counter()
    for label in coming:
        counts["received"] += 1
        before = found.get(label.prediction_id) or known.get(label.prediction_id)
        if before is None:
            found[label.prediction_id] = label
        elif before.model != label.model:
            counts["misdirected"] += 1
        elif same(before.value, label.value):
            counts["doubled"] += 1
            if label.observed_at > before.observed_at:
                found[label.prediction_id] = replace(before, observed_at=label.observed_at)
        else:
            counts["conflicting"] += 1
            if _order(label) > _order(before):
                found[label.prediction_id] = replace(label, times=before.times + 1)
    return Arrival(found, counts)


def same(one: Value, other: Value) -> bool:
    """Whether two labels say the same: ``true`` is not ``1.0``."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _order(label: Label) -> tuple[datetime, str]:
    return label.observed_at, f"{type(label.value).__name__} {label.value}"
