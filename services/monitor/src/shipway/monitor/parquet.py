"""What a file of the prediction history holds: the log's records, their features as columns with names and types.

Pure, and in Arrow throughout: no Python object is made for a record. A feature is a column of its own, not a field of
a struct: pandas gets typed columns instead of an object a row, and DuckDB fills a feature that one version has and
another lacks with null (``union_by_name``), which it does not within structs.
"""

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shipway.bundle.ranking import queries_of
from shipway.contract.errors import Permanent
from shipway.contract.history import FEATURE
from shipway.contract.predictionlog import SCHEMA
from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import NAME

PREFIX = FEATURE
UNNAMED = "features_unnamed"  # the numbers of a record that no known signature fits
MAX_PLACES = 1000
_BEFORE = [name for name in SCHEMA.names if name not in ("features", "scores")]
_ANSWER = ["prediction_id", "version", "at", "scores"]
_OF_QUERY = ("client_id", "trace_id")
ID_TIME = 12  # digits of an id that are its time; the rows of one request have the same
_IDENTITY = ["prediction_id", "instance", "version", "outcome", "at"]


@dataclass(frozen=True)
class Naming:
    """How a version's features are called and typed, and which of them are not kept."""

    signature: Signature
    redacted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Content:
    """A file, and what is to be known of it without reading it."""

    data: bytes
    rows: int
    decoded_bytes: int
    first: object
    last: object
    first_id: str | None = None
    last_id: str | None = None

    @property
    def sha256(self) -> str:
        """The hash of its bytes."""
        return hashlib.sha256(self.data).hexdigest()


def by_model_and_day(records: pa.Table) -> list[tuple[str, date, pa.Table]]:
    """The records of each model and UTC day. Those of a name that no model can have are left out.

    Raises:
        Permanent: a batch of so many models and days as no gateway or predictor writes.
    """
    days = pc.floor_temporal(records["at"], unit="day").cast(pa.date32())
    keys = pa.table({"model": records["model"], "day": days})
    places = keys.group_by(["model", "day"], use_threads=False).aggregate([]).to_pylist()
    if len(places) > MAX_PLACES:
        raise Permanent(f"a batch of {len(places)} models and days; at most {MAX_PLACES} are allowed")
    if len(places) == 1:
        found = [(places[0], records)]
    else:
        alike = [pc.and_(pc.equal(keys["model"], p["model"]), pc.equal(keys["day"], p["day"])) for p in places]
        found = [(place, records.filter(rows)) for place, rows in zip(places, alike, strict=True)]
    return [(place["model"], place["day"], rows) for place, rows in found if NAME.fullmatch(place["model"])]


def versions_with_features(records: pa.Table) -> set[int]:
    """The versions whose signature is needed."""
    kept = records.filter(pc.is_valid(records["features"]))
    return set(pc.unique(kept["version"].drop_null()).to_pylist())


def named(records: pa.Table, namings: Mapping[int, Naming]) -> pa.Table:
    """The log's records with a column a feature."""
    versions = pc.unique(records["version"]).to_pylist()
    if len(versions) == 1:
        return _named(records, namings.get(versions[0]))
    alike = [pc.is_null(records["version"]) if v is None else pc.equal(records["version"], v) for v in versions]
    return together([_named(records.filter(a), namings.get(v)) for a, v in zip(alike, versions, strict=True)])


def _named(records: pa.Table, naming: Naming | None) -> pa.Table:
    """The same for records of one version."""
    lists = records["features"].combine_chunks()
    made = records.select(_BEFORE)
    if naming is not None and lists.null_count < len(lists):
        features = naming.signature.features
        fits = pc.equal(pc.list_value_length(lists), len(features))
        fitting = pc.if_else(fits, lists, pa.scalar(None, lists.type))
        lists = pc.if_else(fits, pa.scalar(None, lists.type), lists)
        for i, feature in enumerate(features):
            numbers = pc.list_element(fitting, i)
            column = values(feature, numbers, hidden=feature.name in naming.redacted)
            made = made.append_column(PREFIX + feature.name, column)
    if lists.null_count < len(lists):
        made = made.append_column(UNNAMED, lists)
    return made.append_column("scores", records["scores"])


def values(feature: Feature, numbers: pa.Array, *, hidden: bool = False) -> pa.Array:
    """A feature's values from the numbers that the model saw: text, true or false, or the number; null where missing.

    A category that was not known is null too: its text is not in the log.
    """
    if feature.type == "number":
        known, typed = pc.invert(pc.is_nan(numbers)), numbers
    elif feature.type == "boolean":
        known, typed = pc.is_in(numbers, pa.array([0.0, 1.0])), pc.equal(numbers, 1.0)
    else:
        codes = pc.if_else(pc.is_in(numbers, _codes(feature)), numbers, pa.scalar(None, pa.float64()))
        return _hidden(pa.array(feature.categories, pa.string()).take(codes.cast(pa.int32())), hidden)
    return _hidden(pc.if_else(known, typed, pa.scalar(None, typed.type)), hidden)


def _codes(feature: Feature) -> pa.Array:
    return pa.array(range(len(feature.categories)), pa.int32()).cast(pa.float64())


def _hidden(column: pa.Array, hidden: bool) -> pa.Array:
    return pa.nulls(len(column), column.type) if hidden else column


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows. What a table lacks is null; a feature whose type has changed between versions is text."""
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, set()).add(field.type)
    changed = {name for name, found in types.items() if len(found) > 1}
    features = [name for name in types if name.startswith(PREFIX)]
    order = [*_BEFORE, *features, *(name for name in (UNNAMED, "scores") if name in types)]
    return pa.concat_tables([_as_text(table, changed) for table in tables], promote_options="default").select(order)


def _as_text(table: pa.Table, names: Collection[str]) -> pa.Table:
    for name in set(names) & set(table.schema.names):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.string()))
    return table


def once(table: pa.Table) -> pa.Table:
    """The table without records that it has already: the same prediction, by the same instance, at the same moment."""
    if pc.count_distinct(table["prediction_id"]).as_py() == len(table):
        return table
    numbered = table.select(_IDENTITY).append_column("row", pa.array(range(len(table)), pa.int64()))
    first = numbered.group_by(_IDENTITY).aggregate([("row", "min")])["row_min"]
    return table if len(first) == len(table) else table.take(first)


def encode(table: pa.Table) -> Content:
    """The file of a table, by time, each record once."""
    table = once(table).sort_by("at")
    sink = io.BytesIO()
    # Without Arrow's own schema: what the file says is all that a reader goes by, whichever it is.
    pq.write_table(table, sink, compression="zstd", row_group_size=100_000, store_schema=False)
    return _content(sink.getvalue(), table)


def describe(data: bytes) -> Content:
    """What is to be known of a file that is there."""
    return _content(data, decode(data))


def decode(data: bytes) -> pa.Table:
    """The table of a file of ours.

    Raises:
        Permanent: it is damaged, or not one of ours.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as err:
        raise Permanent(f"not a Parquet file: {err}") from err
    if missing := sorted(set(_BEFORE) - set(table.schema.names)):
        raise Permanent(f"a Parquet file without {missing[0]}")
    return table


def _content(data: bytes, table: pa.Table) -> Content:
    between = pc.min_max(table["at"]).as_py()
    ids = pc.min_max(answered_ids(table)).as_py()
    return Content(data, len(table), table.nbytes, between["min"], between["max"], ids["min"], ids["max"])


def answered_ids(table: pa.Table) -> pa.ChunkedArray:
    """The ids of the predictions that can have a label."""
    return table["prediction_id"].filter(pc.equal(table["outcome"], "answered"))


@dataclass(frozen=True)
class Found:
    """What a file has of the predictions that were looked for: ``prediction_id, version, at, scores`` and features, and
    the least and the greatest id of all its answered ones ("" where there is none).

    Of a ranking also ``trace_id`` and ``query`` of each; and the same, with ``prediction_id`` and ``version``, of all
    rows that may be of one query with a prediction that is looked for, whichever file that is in.
    """

    answers: pa.Table
    ids: tuple[str, str]
    of_queries: pa.Table | None = None


def answers(data: bytes, wanted: Collection[str], features: Collection[str] = (), *, queries: bool = False) -> Found:
    """Of a file of ours, the answered predictions with one of the ids, and those of the ``features`` that it has.

    Those of a shadow are left out: nobody got them for an answer. ``queries``: with the query of each.

    Raises:
        Permanent: it is damaged, or not one of ours.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        there = set(file.schema_arrow.names)
        columns = [*_ANSWER, *(PREFIX + name for name in features if PREFIX + name in there)]
        table = file.read(columns=[*columns, "outcome", "role", *(_OF_QUERY if queries else ())])
        usable = pc.and_(pc.equal(table["outcome"], "answered"), pc.is_valid(table["version"]))
        usable = pc.and_(
            usable, pc.and_(pc.is_valid(table["scores"]), pc.not_equal(pc.fill_null(table["role"], ""), "shadow"))
        )
        if queries:
            table = table.append_column("query", queries_of(table["client_id"]))
            columns += ["trace_id", "query"]
        these = pc.and_(usable, pc.is_in(table["prediction_id"], pa.array(list(wanted), pa.string())))
        ids, found = pc.min_max(answered_ids(table)).as_py(), table.filter(these).select(columns)
        rows = _of_queries(table.filter(usable), wanted, found) if queries else None
        return Found(found, (ids["min"] or "", ids["max"] or ""), rows)
    except (pa.ArrowException, OSError, KeyError) as err:
        raise Permanent(f"not a file of the prediction history: {err}") from err


def _of_queries(table: pa.Table, wanted: Collection[str], found: pa.Table) -> pa.Table:
    """The rows of the found predictions' queries, and those that were asked for at the time of a wanted one."""
    same = pc.is_in(table["query"], pc.unique(found["query"]).drop_null())
    times = pa.array({one[:ID_TIME] for one in wanted}, pa.string())
    near = pc.is_in(pc.utf8_slice_codeunits(table["prediction_id"], 0, ID_TIME), times)
    named = pc.and_(pc.is_valid(table["query"]), pc.or_(same, near))
    return table.filter(named).select(["prediction_id", "version", "trace_id", "query"])
