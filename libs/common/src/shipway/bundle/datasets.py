"""Reading a model's data: the rows of a time window, from its source or from the prediction history.

All calls are blocking. ``allowed`` says which folders may be read, and how much of anything.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.history import read_history
from shipway.bundle.historysummary import HistorySummary
from shipway.bundle.historytypes import as_logged
from shipway.bundle.room import Room
from shipway.bundle.sources import datasets_of, reading
from shipway.contract.errors import InvalidField
from shipway.contract.signature import OF_NUMBERS
from shipway.contract.spec import ModelSpec
from shipway.runtime.lean import without_pandas
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

with without_pandas():
    import pyarrow.dataset as ds

BATCH_ROWS = 65_536


def newest_time(store: ObjectStore, spec: ModelSpec, allowed: DataSettings, as_of: datetime | None = None) -> datetime:
    """Just after the newest row's time: the ``until`` that takes in all the data. Of the history: when its predictions
    were ripe by ``as_of``.

    Raises:
        Permanent: no data, or no such time column. Transient: the source is away.
    """
    if spec.data.from_history:
        return _known(as_of) - spec.labels.mature_after
    column = spec.data.time_column
    newest: datetime | None = None
    with reading(spec):
        for dataset in datasets_of(store, spec, allowed):
            _time_type(dataset.schema, column)
            # Batch by batch: a file of a megabyte may hold more rows than any memory.
            for batch in dataset.to_batches(columns=[column]):
                found = pc.max(batch.column(column)).as_py()
                if found is not None:
                    moment = _aware(found)
                    newest = moment if newest is None else max(newest, moment)
    if newest is None:
        raise InvalidField("data.source", f"{spec.data.files} holds no rows with a {column}")
    return newest + timedelta(microseconds=1)


def read_window(
    store: ObjectStore,
    spec: ModelSpec,
    start: datetime,
    end: datetime,
    allowed: DataSettings,
    as_of: datetime | None = None,
) -> pa.Table:
    """The rows of read_rows."""
    return read_rows(store, spec, start, end, allowed, as_of)[0]


def read_rows(
    store: ObjectStore,
    spec: ModelSpec,
    start: datetime,
    end: datetime,
    allowed: DataSettings,
    as_of: datetime | None = None,
) -> tuple[pa.Table, HistorySummary | None]:
    """The rows with ``start <= time < end``: features, target, time, id, query and slice columns, in the order of time.

    Where the history is read, with the labels known ``as_of``, also what it holds.

    Raises:
        Permanent: no data, a column that is missing, or more rows or bytes than allowed.
        Transient: the source is away.
    """
    wanted = [*spec.features, spec.target.column, spec.data.time_column]
    if spec.data.id_column:
        wanted.append(spec.data.id_column)
    if spec.data.query_column:
        wanted.append(spec.data.query_column)
    wanted += spec.gates.slices
    columns = list(dict.fromkeys(wanted))
    room, summary = Room(spec, allowed), None
    with reading(spec):
        datasets = datasets_of(store, spec, allowed) if spec.data.files is not None else []
        tables = [_rows(dataset, spec, columns, start, end, room) for dataset in datasets]
        if spec.data.from_history:
            rows, summary = read_history(store, spec, start, end, _known(as_of), allowed, room.take)
            tables = [rows, *(as_logged(spec, table) for table in tables)]
        table = pa.concat_tables(tables, promote_options="permissive")
    if spec.data.from_history and spec.target.kind not in OF_NUMBERS:
        table = _whole_numbers(table, spec.target.column)
    return table.sort_by(spec.data.time_column), summary


def _rows(dataset: Any, spec: ModelSpec, columns: list[str], start: datetime, end: datetime, room: Room) -> pa.Table:
    _check_columns(dataset.schema, columns, spec)
    kind = _time_type(dataset.schema, spec.data.time_column)
    time_field = ds.field(spec.data.time_column)
    in_window = (time_field >= _bound(start, kind)) & (time_field < _bound(end, kind))
    room.check_rows(dataset.count_rows(filter=in_window))
    batches = []
    # A few batches ahead: a category of a kilobyte may stand in a million rows, and once in the file.
    for batch in dataset.to_batches(columns=columns, filter=in_window, batch_size=BATCH_ROWS, batch_readahead=4):
        room.take(batch)
        batches.append(batch)
    return pa.Table.from_batches(batches, batches[0].schema if batches else _part(dataset.schema, columns))


def _part(schema: pa.Schema, columns: list[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns])


def _check_columns(schema: pa.Schema, wanted: list[str], spec: ModelSpec) -> None:
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        there = ", ".join(schema.names[:50])
        raise InvalidField(missing[0], f"is not a column of {spec.data.files}; it has {there}")


def _time_type(schema: pa.Schema, column: str) -> pa.DataType:
    if column not in schema.names:
        raise InvalidField("data.time_column", f"{column!r} is not a column; there are {', '.join(schema.names[:50])}")
    kind = schema.field(column).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise InvalidField("data.time_column", f"{column!r} is of type {kind}; it must be a timestamp or a date")
    return kind


def _bound(moment: datetime, kind: pa.DataType) -> pa.Scalar:
    """A window's bound as the column's own type; a column without a zone is taken as UTC.

    A date column is compared by its midnights: a bound within a day moves to the next day's.
    """
    moment = moment.astimezone(UTC)
    if pa.types.is_date(kind):
        midnight = datetime.combine(moment.date(), time(), UTC)
        day = moment.date() if moment == midnight else moment.date() + timedelta(days=1)
        return pa.scalar(day, pa.date32()).cast(kind)
    if kind.tz is None:
        return pa.scalar(moment.replace(tzinfo=None), pa.timestamp("us")).cast(kind, safe=False)
    return pa.scalar(moment, pa.timestamp("us", "UTC")).cast(kind, safe=False)


def _aware(found: datetime | date) -> datetime:
    if not isinstance(found, datetime):
        return datetime.combine(found, time(), UTC)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _known(as_of: datetime | None) -> datetime:
    if as_of is None:
        raise InvalidField("manifest.as_of", "does not say which labels were known; train a new version")
    return as_of


def _whole_numbers(table: pa.Table, target: str) -> pa.Table:
    """The target as whole numbers where all its labels are, so that classes are in the order of numbers."""
    try:
        numbers = table[target].cast(pa.int64())
    except pa.ArrowException:
        return table
    same = pc.all(pc.equal(numbers.cast(pa.string()), table[target])).as_py() is not False
    return table.set_column(table.schema.get_field_index(target), target, numbers) if same else table
