"""Which records are a subject's, and what is left without them. Pure.

A record is a subject's where its ``client_id`` is the subject, or begins with it and a slash: "customer-17/order-9".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Forgotten:
    """A subject whose records up to ``asked_at`` go; ``seq`` is the number of the command."""

    seq: int
    subject: str
    asked_at: datetime


@dataclass(frozen=True)
class Gone:
    """What went of one subject: the ids of its predictions, and from when to when they were."""

    records: int = 0
    ids: frozenset[str] = field(default_factory=frozenset)
    first_at: datetime | None = None
    last_at: datetime | None = None


def belongs(records: pa.Table, one: Forgotten) -> pa.ChunkedArray:
    """Which records are the subject's."""
    client = pc.fill_null(records["client_id"], "")
    named = pc.or_(pc.equal(client, one.subject), pc.starts_with(client, f"{one.subject}/"))
    return pc.and_(named, pc.less_equal(records["at"], pa.scalar(one.asked_at, records["at"].type)))


def without(records: pa.Table, subjects: Sequence[Forgotten]) -> tuple[pa.Table, Mapping[int, Gone]]:
    """The records that are left, and what went of each subject that had some."""
    gone: dict[int, Gone] = {}
    for one in subjects:
        theirs = belongs(records, one)
        found = records.filter(theirs)
        if len(found):
            between = pc.min_max(found["at"]).as_py()
            ids = frozenset(found["prediction_id"].to_pylist())
            gone[one.seq] = Gone(len(found), ids, between["min"], between["max"])
            records = records.filter(pc.invert(theirs))
    return records, gone
