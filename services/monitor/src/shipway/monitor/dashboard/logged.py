"""A model's newest predictions as they were logged: what waits for its file, and before that the newest file.

What the model file redacts, and what is to be forgotten, is not among them. Files that are large are left out: a day's
are merged into one, and a look at the newest needs no gigabyte.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shipway.monitor import filing, forgetstore, forgetting, naming, parquet, staging
from shipway.monitor.forgetting import Forgotten
from shipway.monitor.parquet import Naming
from shipway.runtime.database import Database, Transaction
from shipway.runtime.objects import ObjectStore

MOST, BATCHES = 200, 100
MAX_FILE_BYTES = 20_000_000


@dataclass(frozen=True)
class Logged:
    """One record. ``features``: those that were kept and not missing, as text."""

    at: datetime
    prediction_id: str
    version: int | None
    role: str
    outcome: str
    reason: str
    latency_us: int
    client_id: str
    scores: Sequence[float]
    features: Mapping[str, str]


async def newest(database: Database, store: ObjectStore, model: str, most: int) -> list[Logged]:
    """A model's newest records, the newest first.

    Raises:
        Transient: the object store is away. Permanent: a record is damaged.
    """
    async with database.begin() as tx:
        batches = await staging.newest(tx, model, BATCHES)
        namings = await naming.namings(tx, model, {v for one in batches for v in parquet.versions_with_features(one)})
        subjects = await forgetstore.active(tx, model)
        key = await _file(tx, model) if sum(map(len, batches)) < most else None
    data = await asyncio.to_thread(store.get, key, MAX_FILE_BYTES) if key is not None else None
    return await asyncio.to_thread(_records, batches, data, namings, subjects, most)


async def _file(tx: Transaction, model: str) -> str | None:
    """The newest file, where it is not too large to be read for a look."""
    files = await filing.with_ids(tx, model)
    return str(files[0].key) if files and files[0].bytes is not None and files[0].bytes <= MAX_FILE_BYTES else None


def _records(
    batches: Sequence[pa.Table],
    data: bytes | None,
    namings: Mapping[int, Naming],
    subjects: Sequence[Forgotten],
    most: int,
) -> list[Logged]:
    tables = [parquet.named(one, namings) for one in batches]
    if data is not None:
        tables.append(_with_types(parquet.decode(data)))
    if not tables:
        return []
    left, _ = forgetting.without(parquet.once(parquet.together(tables)), subjects)
    order = pc.sort_indices(left, [("at", "descending")]).slice(0, most)
    return [_logged(row) for row in left.take(order).to_pylist()]


def _with_types(table: pa.Table) -> pa.Table:
    """A file's table with the log's own types: Parquet calls the items of lists otherwise."""
    for name in {"scores", parquet.UNNAMED} & set(table.schema.names):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(pa.list_(pa.float64())))
    return table


def _logged(row: Mapping[str, Any]) -> Logged:
    named = {name.removeprefix(parquet.PREFIX): row[name] for name in row if name.startswith(parquet.PREFIX)}
    unnamed = {f"f{i}": value for i, value in enumerate(row.get(parquet.UNNAMED) or ())}
    return Logged(
        at=row["at"],
        prediction_id=row["prediction_id"],
        version=row["version"],
        role=row["role"] or "",
        outcome=row["outcome"],
        reason=row["reason"] or "",
        latency_us=row["latency_us"],
        client_id=row["client_id"] or "",
        scores=[score for score in row["scores"] or () if score is not None],
        features={name: _text(value) for name, value in (named | unnamed).items() if value is not None},
    )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:80]
