"""Reading back what a model predicted, with the labels that came since: the prediction history as a training set.

A row is a prediction that somebody got for an answer, once, with the label that held at ``as_of``: what became known
later is not used, so that the same training finds the same rows. All calls block.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.historyfiles import answered, no_predictions, once
from shipway.bundle.historylabels import labels_between
from shipway.bundle.historysummary import HistorySummary
from shipway.bundle.historytypes import cast_feature
from shipway.bundle.ranking import queries_of
from shipway.contract.errors import InvalidField
from shipway.contract.history import FEATURE
from shipway.contract.signature import OF_NUMBERS
from shipway.contract.spec import ModelSpec
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

CANDIDATE = "candidate"
# A version with so many rows and never a value of a feature did not log it; fewer may be chance.
_LEAST_ROWS = 50


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
    predictions, tables = 0, [_typed(spec, no_predictions()).append_column("label", labels["label"].slice(0, 0))]
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


def _labels(
    store: ObjectStore, spec: ModelSpec, start: datetime, end: datetime, as_of: datetime, allowed: DataSettings
) -> pa.Table:
    day = timedelta(days=1)  # a double of a prediction may lie beyond midnight
    found = labels_between(store, spec.name, (start - day).date(), (end + day).date(), as_of, allowed)
    wanted = pa.float64() if spec.target.kind in OF_NUMBERS else pa.string()
    return found.set_column(1, "label", found["label"].cast(wanted)).filter(pc.is_valid(found["label"]))


def _typed(spec: ModelSpec, table: pa.Table) -> pa.Table:
    """The features with the types that the model file gives them; one that no file has is null."""
    made = table.select(["prediction_id", "at", "version", "role", "instance"])
    for name, feature in spec.features.items():
        made = made.append_column(FEATURE + name, cast_feature(feature, name, table))
    return made if spec.data.query_column is None else made.append_column("query", _queries(table))


def _queries(logged: pa.Table) -> pa.ChunkedArray:
    if "client_id" not in logged.column_names:
        return pa.chunked_array([pa.nulls(len(logged), pa.string())])
    return queries_of(logged["client_id"])


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


def _list(versions: list[int]) -> str:
    return ", ".join(map(str, versions[:10]))
