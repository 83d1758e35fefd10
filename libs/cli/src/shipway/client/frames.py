"""What is on record of a model as tables with typed columns, for notebooks: predictions, labels, versions, verdicts.

Predictions and labels are read from the object store, the rest comes from the monitor. pandas is asked for only by
``to_pandas``.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from shipway.client.errors import ShipwayError

if TYPE_CHECKING:
    import pandas as pd

    from shipway.runtime.objects import ObjectStore

MAX_FILE_BYTES = 4_000_000_000


@dataclass(frozen=True)
class Frame:
    """Rows with typed columns; ``arrow`` is a pyarrow.Table."""

    arrow: Any

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    @property
    def columns(self) -> list[str]:
        """The columns' names, in order."""
        return list(self.arrow.column_names)

    def to_pandas(self) -> "pd.DataFrame":
        """As a DataFrame. What may be missing is missing there too: whole numbers stay whole, texts are texts.

        Raises:
            ShipwayError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as err:
            raise ShipwayError("pandas is not installed; pip install pandas") from err
        import pyarrow as pa

        kinds: dict[Any, Any] = {pa.bool_(): pd.BooleanDtype(), pa.string(): pd.StringDtype()}
        kinds |= {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
        made: pd.DataFrame = self.arrow.to_pandas(types_mapper=kinds.get)
        return made


def predictions(
    store: "ObjectStore", files: Sequence[Mapping[str, Any]], since: datetime | None, until: datetime | None
) -> Frame:
    """The records of the history's ``files`` (as the monitor lists them) from ``since`` on, before ``until``.

    Raises:
        ShipwayError: a file is not what the monitor says it is.
        Transient: the object store is away.
    """
    import pyarrow.parquet as pq

    since, until = _moment(since), _moment(until)
    tables = []
    for file in files:
        first, last = datetime.fromisoformat(file["first_at"]), datetime.fromisoformat(file["last_at"])
        if (since is not None and last < since) or (until is not None and first >= until):
            continue
        data = store.get(file["key"], MAX_FILE_BYTES)
        if sha256(data).hexdigest() != file["sha256"]:
            raise ShipwayError(f"{file['key']}: its content is not what the monitor wrote")
        tables.append(_between(pq.read_table(io.BytesIO(data)), "at", since, until))
    return Frame(_together(tables))


def labels(store: "ObjectStore", model: str, since: datetime | None, until: datetime | None) -> Frame:
    """The labels of a model's predictions from ``since`` on, before ``until``, by the time of the prediction.

    Raises:
        Transient: the object store is away.
    """
    import pyarrow.parquet as pq

    since, until = _moment(since), _moment(until)
    tables = []
    for key in store.list(f"labels/{model}/"):
        day = date.fromisoformat(key.rpartition("/")[2].removesuffix(".parquet"))
        if (since is None or day >= since.date()) and (until is None or day <= until.date()):
            table = pq.read_table(io.BytesIO(store.get(key, MAX_FILE_BYTES)))
            tables.append(_between(table, "predicted_at", since, until))
    return Frame(_together(tables))


def versions(model: Mapping[str, Any]) -> Frame:
    """A model's versions as the monitor has them, one a row, with a column ``metric.NAME`` for each figure."""
    shown = ("state", "digest", "request_id", "training_rows", "share", "reason", "champion_version")
    times = ("changed_at", "promoted_at", "left_at", "last_used", "degraded_at", "retirement_asked_at")
    rows = [
        {"version": row["version"]}
        | {name: row.get(name) for name in shown}
        | {name: datetime.fromisoformat(row[name]) if row.get(name) else None for name in times}
        | {f"metric.{name}": figure for name, figure in sorted((row.get("metrics") or {}).items())}
        for row in model["versions"]
    ]
    kinds = {"version": "int32", "champion_version": "int32", "training_rows": "int64", "share": "double"}
    return Frame(_typed(rows, kinds | dict.fromkeys(times, "time"), ("version", *shown, *times)))


def evaluations(model: Mapping[str, Any]) -> Frame:
    """How a model's versions were judged: a row for each gate of each version."""
    rows = [
        {
            "version": row["version"],
            **{name: gate.get(name) for name in ("name", "passed", "figure", "limit", "reason")},
        }
        for row in model["versions"]
        for gate in row.get("gates") or ()
    ]
    kinds = {"version": "int32", "passed": "bool", "figure": "double", "limit": "double"}
    return Frame(_typed(rows, kinds, ("version", "name", "passed", "figure", "limit", "reason")))


def _typed(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], always: Iterable[str]) -> Any:
    """The rows as a table: columns of ``kinds``, metrics as numbers, all others as text."""
    import pyarrow as pa

    known = {
        "int32": pa.int32(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "time": pa.timestamp("us", "UTC"),
    }
    names = dict.fromkeys([*always, *(name for row in rows for name in row)])
    fields = []
    for name in names:
        kind = kinds.get(name, "double" if name.startswith("metric.") else "text")
        fields.append(pa.field(name, known.get(kind, pa.string())))
    return pa.Table.from_pylist([dict(row) for row in rows], pa.schema(fields))


def _between(table: Any, column: str, since: datetime | None, until: datetime | None) -> Any:
    import pyarrow.compute as pc

    if since is not None:
        table = table.filter(pc.greater_equal(table[column], since))
    if until is not None:
        table = table.filter(pc.less(table[column], until))
    return table


def _together(tables: Sequence[Any]) -> Any:
    """One table; a column that is of several types, as a feature whose type was changed, is text."""
    import pyarrow as pa

    kinds: dict[str, set[Any]] = {}
    for table in tables:
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    mixed = {name for name, found in kinds.items() if len(found - {pa.null()}) > 1}
    same = []
    for table in tables:
        for name in mixed & set(table.column_names):
            table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
        same.append(table)
    return pa.concat_tables(same, promote_options="default") if same else pa.table({})


def _moment(time: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def days_between(since: datetime | None, until: datetime | None) -> list[date]:
    """The UTC days that the time touches, to ask for each; none where it is open to a side."""
    since, until = _moment(since), _moment(until)
    if since is None or until is None:
        return []
    first, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
