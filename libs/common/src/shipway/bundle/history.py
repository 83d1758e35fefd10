"""Reading back what a model predicted, with the labels that came since: the prediction history as a training set.

A row is a prediction that somebody got for an answer, once, with the label that held at ``as_of``: what became known
later is not used, so that the same training finds the same rows. All calls block.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shipway.bundle.features import as_text
from shipway.contract.arrowbounds import check_schema
from shipway.contract.errors import InvalidField, Transient
from shipway.contract.history import FEATURE, day_of, history_prefix, labels_prefix
from shipway.contract.signature import OF_NUMBERS
from shipway.contract.spec import FeatureSpec, ModelSpec
from shipway.runtime.objects import ObjectMissing, ObjectStore
from shipway.runtime.settings import DataSettings

TIME = pa.timestamp("us", tz="UTC")
CANDIDATE = "candidate"
_OF_PREDICTION = ("prediction_id", "at", "version", "role", "instance", "outcome")
# A version with so many rows and never a value of a feature did not log it; fewer may be chance.
_LEAST_ROWS = 50
_LISTINGS = 5
_TYPES: Mapping[str, pa.DataType] = {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.string()}


@dataclass(frozen=True)
class HistorySummary:
    """What a window of the history holds: ``predictions`` that are ripe, ``labelled`` ones, ``rows`` to train on.

    ``left_out`` are labelled ones that are no rows, by why; ``candidate_rows`` were answered by a candidate, which
    only chance chose to ask; ``versions``: the rows that each version answered.
    """

    predictions: int
    labelled: int
    rows: int
    candidate_rows: int
    left_out: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def exploration_share(self) -> float:
        """The share of rows that a candidate answered."""
        return self.candidate_rows / self.rows if self.rows else 0.0


def read_history(
    store: ObjectStore,
    spec: ModelSpec,
    start: datetime,
    end: datetime,
    as_of: datetime,
    allowed: DataSettings,
    take: Callable[[pa.Table], None] = lambda _: None,
) -> tuple[pa.Table, HistorySummary]:
    """The rows predicted within ``start <= at < end``, of predictions that were ripe by ``as_of``.

    Columns are named as the model file names them; a number is FP64, a category and a class text. The query of a
    ranking's row is the client's id of it without the last part: "search-9" of "search-9/3". ``take`` is told of each
    day's rows, and may refuse them.

    Raises:
        Permanent: a feature that was never logged, or files that are not the history's. Transient: the store is away.
    """
    end = min(end, as_of - spec.labels.mature_after)
    labels = _labels(store, spec, start, end, as_of, allowed)
    predictions, tables = 0, [_typed(spec, _empty()).append_column("label", labels["label"].slice(0, 0))]
    wanted = [*(FEATURE + name for name in spec.features), *(["client_id"] if spec.data.query_column else [])]
    for _, found in answered(store, spec.name, start, end, wanted, allowed):
        predictions += len(found)
        place = pc.index_in(found["prediction_id"], labels["prediction_id"].combine_chunks())
        rows = _typed(spec, found).append_column("label", labels["label"].take(place)).filter(pc.is_valid(place))
        take(rows)
        tables.append(rows)
    labelled = once(pa.concat_tables(tables))
    kept, left_out = _with_features(spec, labelled)
    if spec.data.query_column is not None:
        there = pc.is_valid(kept["query"])
        if lacking := kept["query"].null_count:
            left_out["whose client_id names no query"] = lacking
        kept = kept.filter(there)
    return _named(spec, kept), HistorySummary(
        predictions=predictions,
        labelled=len(labelled),
        rows=len(kept),
        candidate_rows=pc.sum(pc.equal(kept["role"], CANDIDATE)).as_py() or 0,
        left_out=left_out,
        versions={str(row["values"]): row["counts"] for row in pc.value_counts(kept["version"]).to_pylist()},
    )


def answered(
    store: ObjectStore, model: str, start: datetime, end: datetime, columns: Iterable[str], allowed: DataSettings
) -> Iterator[tuple[date, pa.Table]]:
    """The predictions of ``start <= at < end`` that somebody got for an answer, one row each, a UTC day at a time: who
    gave it, when, and those of ``columns`` that are there. Raises as read_history.
    """
    if start >= end:
        return
    wanted, listing = [*_OF_PREDICTION, *columns], _listed(store, model)
    for day in sorted(day for day in listing if start.date() <= day <= end.date()):
        table = _day(store, model, day, listing[day], wanted, allowed)
        inside = pc.and_(pc.greater_equal(table["at"], _moment(start)), pc.less(table["at"], _moment(end)))
        yield day, table.filter(inside)


def labels_between(
    store: ObjectStore, model: str, first: date, last: date, as_of: datetime, allowed: DataSettings
) -> pa.Table:
    """``prediction_id`` and ``label`` of the days' predictions, as they held at ``as_of``."""
    keys = [key for key in store.list(labels_prefix(model)) if first <= (day_of(key) or date.min) <= last]
    wanted = ["prediction_id", "label", "received_at", "settled_at", "earlier"]
    tables = [_held(_file(key, store.get(key, allowed.max_file_bytes), wanted, allowed), as_of) for key in keys]
    empty = pa.table({"prediction_id": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    return pa.concat_tables(tables, promote_options="permissive") if tables else empty


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


def as_logged(spec: ModelSpec, table: pa.Table) -> pa.Table:
    """Rows of files with the types that the history has, so that both can be put together.

    Raises:
        Permanent: a column's type does not fit.
    """
    data, columns = spec.data, {}
    for name in table.column_names:
        column = table[name]
        if name in spec.features:
            columns[name] = _cast(spec.features[name], name, column)
        elif name == spec.target.column:
            columns[name] = column.cast(pa.float64()) if spec.target.kind in OF_NUMBERS else as_text(name, column)
        elif name == data.time_column:
            moments = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)))
            columns[name] = moments.cast(TIME) if moments.type.tz else pc.assume_timezone(moments, "UTC")
        else:
            columns[name] = column.cast(pa.string())
    return pa.table(columns)


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
            tables = [_file(key, store.get(key, allowed.max_file_bytes), wanted, allowed) for key in keys]
        except ObjectMissing:  # merged meanwhile, into one that the next listing has
            keys = _listed(store, model).get(day, [])
        else:
            return once(pa.concat_tables(_alike([*tables, _empty()]), promote_options="default"))
    raise Transient(f"{history_prefix(model)}{day}: its files change while they are read")


def _labels(
    store: ObjectStore, spec: ModelSpec, start: datetime, end: datetime, as_of: datetime, allowed: DataSettings
) -> pa.Table:
    day = timedelta(days=1)  # a double of a prediction may lie beyond midnight
    found = labels_between(store, spec.name, (start - day).date(), (end + day).date(), as_of, allowed)
    wanted = pa.float64() if spec.target.kind in OF_NUMBERS else pa.string()
    return found.set_column(1, "label", found["label"].cast(wanted)).filter(pc.is_valid(found["label"]))


def _held(table: pa.Table, as_of: datetime) -> pa.Table:
    """The labels that held then: of one that was corrected later, the one before."""
    settled = table["received_at"]
    if "settled_at" in table.column_names:
        settled = pc.coalesce(table["settled_at"], settled)
    known = pc.less_equal(settled, _moment(as_of))
    held = table.select(["prediction_id", "label"]).filter(known)
    if "earlier" not in table.column_names:
        return held
    corrected = pc.greater(pc.fill_null(pc.list_value_length(table["earlier"]), 0), 0)
    later = table.filter(pc.and_(pc.invert(known), corrected))
    before = [_before(row, as_of) for row in later.select(["prediction_id", "earlier"]).to_pylist()]
    rows = [row for row in before if row is not None]
    return pa.concat_tables([held, pa.Table.from_pylist(rows, held.schema)])


def _before(row: dict[str, Any], as_of: datetime) -> dict[str, Any] | None:
    held = [one for one in row["earlier"] if one["settled_at"] <= as_of]
    return {"prediction_id": row["prediction_id"], "label": held[-1]["label"]} if held else None


def _file(key: str, data: bytes, wanted: Iterable[str], allowed: DataSettings) -> pa.Table:
    """The columns of a file that it has, of answers only."""
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


def _typed(spec: ModelSpec, table: pa.Table) -> pa.Table:
    """The features with the types that the model file gives them; one that no file has is null."""
    made = table.select(["prediction_id", "at", "version", "role", "instance"])
    for name, feature in spec.features.items():
        made = made.append_column(FEATURE + name, cast_feature(feature, name, table))
    return made if spec.data.query_column is None else made.append_column("query", _queries(table))


def _queries(logged: pa.Table) -> pa.ChunkedArray:
    if "client_id" not in logged.column_names:
        return pa.chunked_array([pa.nulls(len(logged), pa.string())])
    parts = pc.extract_regex(logged["client_id"].cast(pa.string()), r"^(?P<query>.+)/[^/]*$")
    return pc.struct_field(parts, "query")


def cast_feature(feature: FeatureSpec, name: str, logged: pa.Table) -> pa.ChunkedArray:
    """A feature's logged column with the type that the model file gives it; null where it was not logged.

    Raises:
        Permanent: its values are of another type.
    """
    there = FEATURE + name in logged.column_names
    column = logged[FEATURE + name] if there else pa.chunked_array([pa.nulls(len(logged), _TYPES[feature.type])])
    return _cast(feature, name, column)


def _cast(feature: FeatureSpec, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return as_text(f"features.{name}", column) if feature.type == "category" else column.cast(_TYPES[feature.type])
    except pa.ArrowException as err:
        problem = f"is declared a {feature.type}, but values of it are {column.type}: {err}; declare what it is"
        raise InvalidField(f"features.{name}", problem) from err


def _with_features(spec: ModelSpec, rows: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """The rows whose features were logged, and how many others there are, by why."""
    left_out: Counter[str] = Counter()
    some = pa.array([False] * len(rows), pa.bool_())
    for name in spec.features:
        some = pc.or_(some, pc.is_valid(rows[FEATURE + name]))
    left_out["features not kept"] = len(rows) - (pc.sum(some).as_py() or 0)
    rows = rows.filter(some)
    for name in spec.features:
        lacking = _versions_without(rows, FEATURE + name)
        left = rows.filter(pc.invert(pc.is_in(rows["version"], pa.array(lacking, pa.int32()))))
        if lacking and not len(left):
            raise InvalidField(
                f"features.{name}",
                f"is in none of the {len(rows):,} labelled predictions of the window (versions {_list(lacking)}): it"
                " was redacted, or they did not know it; remove it from features, or stop redacting it and let a"
                " version that knows it, trained on another data.source, answer first",
            )
        if lacking:
            left_out[f"{name} not known to the version"] = len(rows) - len(left)
        rows = left
    return rows, {why: count for why, count in left_out.items() if count}


def _versions_without(rows: pa.Table, column: str) -> list[int]:
    counted = rows.group_by("version").aggregate([(column, "count"), ("prediction_id", "count")]).to_pylist()
    return sorted(
        row["version"] for row in counted if not row[f"{column}_count"] and row["prediction_id_count"] >= _LEAST_ROWS
    )


def _named(spec: ModelSpec, rows: pa.Table) -> pa.Table:
    columns = {name: rows[FEATURE + name] for name in spec.features}
    columns |= {spec.target.column: rows["label"], spec.data.time_column: rows["at"]}
    if spec.data.id_column is not None:
        columns[spec.data.id_column] = rows["prediction_id"]
    if spec.data.query_column is not None:
        columns[spec.data.query_column] = rows["query"]
    return pa.table(columns)


def _moment(at: datetime) -> pa.Scalar:
    return pa.scalar(at, TIME)


def _empty() -> pa.Table:
    types = {"at": TIME, "version": pa.int32()}
    return pa.table({name: pa.array([], types.get(name, pa.string())) for name in _OF_PREDICTION})


def _list(versions: list[int]) -> str:
    return ", ".join(map(str, versions[:10]))
