"""The files of the prediction history, read day by day: who answered what, one row a prediction. All calls block."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shipway.bundle.features import as_text
from shipway.bundle.historytypes import TIME
from shipway.contract.arrowbounds import check_schema
from shipway.contract.errors import InvalidField, Transient
from shipway.contract.history import day_of, history_prefix, labels_prefix
from shipway.contract.spec import ModelSpec
from shipway.runtime.objects import ObjectMissing, ObjectStore
from shipway.runtime.settings import DataSettings

_OF_PREDICTION = ("prediction_id", "at", "version", "role", "instance", "outcome")
_LISTINGS = 5


def answered(
    store: ObjectStore, model: str, start: datetime, end: datetime, columns: Iterable[str], allowed: DataSettings
) -> Iterator[tuple[date, pa.Table]]:
    """The predictions of ``start <= at < end`` that somebody got for an answer, one row each, a UTC day at a time: who
    gave it, when, and those of ``columns`` that are there.

    Raises:
        Permanent: files that are not the history's. Transient: the store is away.
    """
    if start >= end:
        return
    wanted, listing = [*_OF_PREDICTION, *columns], _listed(store, model)
    for day in sorted(day for day in listing if start.date() <= day <= end.date()):
        table = _day(store, model, day, listing[day], wanted, allowed)
        inside = pc.and_(pc.greater_equal(table["at"], moment(start)), pc.less(table["at"], moment(end)))
        yield day, table.filter(inside)


def state_of(store: ObjectStore, spec: ModelSpec, start: datetime, end: datetime) -> list[list[str]]:
    """The files of history and labels that a window is read from, as [key, mark]."""
    keys = [*store.list(history_prefix(spec.name)), *store.list(labels_prefix(spec.name))]
    near = [key for key in keys if start.date() <= (day_of(key) or date.min) <= end.date()]
    return [[key, store.mark(key) or ""] for key in near if key.endswith(".parquet")]


def once(table: pa.Table) -> pa.Table:
    """One row a prediction, the earliest: an instance that answered too late has a record of its own."""
    if pc.count_distinct(table["prediction_id"]).as_py() == len(table):
        return table
    keys = table.select(["prediction_id", "at", "instance"]).append_column("row", pa.array(range(len(table))))
    ordered = keys.sort_by([("at", "ascending"), ("instance", "ascending"), ("row", "ascending")])
    places = pa.table({"prediction_id": ordered["prediction_id"], "row": ordered["row"]})
    first = places.group_by("prediction_id", use_threads=False).aggregate([("row", "first")])["row_first"]
    return table.take(first.combine_chunks().sort())


def read_file(key: str, data: bytes, wanted: Iterable[str], allowed: DataSettings) -> pa.Table:
    """The ``wanted`` columns of a file that it has, of answers only.

    Raises:
        Permanent: it is no file of the history or of labels.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        check_schema(file.schema_arrow, columns=allowed.max_columns, nesting=allowed.max_nesting)
        names = [name for name in wanted if name in file.schema_arrow.names]
        table = file.read(columns=names).select(names)
        if "outcome" in names:
            shadow = pc.equal(pc.fill_null(table["role"], ""), "shadow")
            answers = pc.and_(pc.equal(table["outcome"], "answered"), pc.is_valid(table["version"]))
            table = table.filter(pc.and_(answers, pc.invert(shadow)))
        return table
    except (pa.ArrowException, OSError, ValueError, KeyError) as err:
        raise InvalidField("data.source", f"{key}: not a file of the prediction history: {err}") from err


def no_predictions() -> pa.Table:
    """A table of the columns that every file has, without rows."""
    types = {"at": TIME, "version": pa.int32()}
    return pa.table({name: pa.array([], types.get(name, pa.string())) for name in _OF_PREDICTION})


def moment(at: datetime) -> pa.Scalar:
    """A moment, to compare times of the history with."""
    return pa.scalar(at, TIME)


def _listed(store: ObjectStore, model: str) -> dict[date, list[str]]:
    found: dict[date, list[str]] = {}
    for key in store.list(history_prefix(model)):
        if key.endswith(".parquet") and (day := day_of(key)) is not None:
            found.setdefault(day, []).append(key)
    return found


def _day(
    store: ObjectStore, model: str, day: date, keys: list[str], wanted: list[str], allowed: DataSettings
) -> pa.Table:
    for _ in range(_LISTINGS):
        try:
            tables = [read_file(key, store.get(key, allowed.max_file_bytes), wanted, allowed) for key in keys]
        except ObjectMissing:  # merged meanwhile, into one that the next listing has
            keys = _listed(store, model).get(day, [])
        else:
            return once(pa.concat_tables(_alike([*tables, no_predictions()]), promote_options="default"))
    raise Transient(f"{history_prefix(model)}{day}: its files change while they are read")


def _alike(tables: list[pa.Table]) -> list[pa.Table]:
    """A feature whose type has changed between versions is text in all of them."""
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            types.setdefault(column.name, set()).add(column.type)
    for name in [name for name, found in types.items() if len(found) > 1]:
        tables = [
            table.set_column(table.schema.get_field_index(name), name, as_text(name, table[name]))
            if name in table.column_names
            else table
            for table in tables
        ]
    return tables
