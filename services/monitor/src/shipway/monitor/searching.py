"""Finds the predictions of labels in the files of the history.

Predictions come by thousands a second, and few of them are ever asked for: so none has a row of its own. A label is
looked for in the files whose ids may hold its own, of which there are few, as ids begin with the time.
"""

import asyncio
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from shipway.contract.errors import Permanent
from shipway.monitor import filing, metrics, parquet
from shipway.monitor.labelling import Answer
from shipway.monitor.rankings import name_of
from shipway.runtime import log
from shipway.runtime.database import Database
from shipway.runtime.objects import ObjectMissing, ObjectStore

_log = log.get(__name__)
Looked = dict[str, tuple[Answer, dict[str, Any]]]
"""By prediction its answer, and its values of features."""


async def look(
    database: Database,
    store: ObjectStore,
    files: Sequence[Any],
    wanted: Sequence[str],
    features: Sequence[str],
    *,
    queries: bool,
) -> Looked:
    """The answers with these ids (sorted), each with its values of these features; from the newest file to the oldest
    that may have one. ``queries``: each with its query, whose rows may lie in more files than it.

    Raises:
        Transient: the object store, or the database, is away.
    """
    found: Looked = {}
    rows: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        near = within(wanted, file.first_id, file.last_id, parquet.ID_TIME if queries else None)
        missing = [one for one in near if queries or one not in found]
        if not missing:
            continue
        try:
            data = await asyncio.to_thread(store.get, file.key, file.bytes)
            read = await asyncio.to_thread(parquet.answers, data, missing, features, queries=queries)
        except ObjectMissing:
            continue  # merged meanwhile, into one that the next look reads
        except Permanent as err:
            _log.error("history file not searched", key=file.key, reason=str(err)[:500])
            continue
        if file.first_id is None:
            async with database.begin() as tx:
                await filing.keep_ids(tx, file.id, read.ids)
        metrics.LABEL_FILES_SEARCHED.inc()
        for row in read.answers.to_pylist():
            answer = Answer(row["version"], row["at"], tuple(row["scores"]), query=_query(row) if queries else None)
            values = {name: row.get(parquet.PREFIX + name) for name in features}
            found.setdefault(row["prediction_id"], (answer, values))
        if read.of_queries is not None:
            for name, ids in (await asyncio.to_thread(_by_query, read.of_queries)).items():
                rows[name] |= ids
    if not queries:
        return found
    return {
        name: (replace(answer, query_rows=len(rows[answer.query or ""])), values)
        for name, (answer, values) in found.items()
    }


def within(ids: Sequence[str], first: str | None, last: str | None, digits: int | None = None) -> Sequence[str]:
    """Of sorted ids those from first to last, or that begin with the same ``digits`` as one of them does; all where
    these are not known.
    """
    if first is None or last is None:
        return ids
    begin = bisect_left(ids, first[:digits])
    end = bisect_left(ids, last + "\0" if digits is None else last[:digits] + chr(sys.maxunicode), begin)
    return ids[begin:end]


def _by_query(table: pa.Table) -> dict[str, set[str]]:
    """The predictions of each query."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in table.to_pylist():
        found[_query(row)].add(row["prediction_id"])
    return found


def _query(row: Mapping[str, Any]) -> str:
    return name_of(row["version"], row["trace_id"], row["query"]) if row["query"] is not None else ""
