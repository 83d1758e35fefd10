"""Reading a model's data: the rows of a time window, from a folder, a prefix in the object store, or the history.

All calls are blocking. ``allowed`` says which folders may be read, and how much of anything.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.history import HistorySummary, as_logged, read_history, state_of
from shipway.bundle.manifest import Windows
from shipway.contract.arrowbounds import check_schema
from shipway.contract.errors import InvalidField, Transient
from shipway.contract.signature import OF_NUMBERS
from shipway.contract.spec import ModelSpec, format_duration
from shipway.runtime.lean import without_pandas
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

with without_pandas():
    import pyarrow.dataset as ds

BATCH_ROWS = 65_536


def windows_of(spec: ModelSpec, until: datetime, as_of: datetime | None = None) -> Windows:
    """The windows of a training on the data before ``until``; training never sees the holdout."""
    holdout_from = until - spec.data.holdout
    train_to = holdout_from - spec.data.gap
    return Windows(train_to - spec.data.train, train_to, holdout_from, until, as_of)


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
    with _reading(spec):
        for dataset in _datasets(store, spec, allowed):
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
    room, summary = _Room(spec, allowed), None
    with _reading(spec):
        datasets = _datasets(store, spec, allowed) if spec.data.files is not None else []
        tables = [_rows(dataset, spec, columns, start, end, room) for dataset in datasets]
        if spec.data.from_history:
            rows, summary = read_history(store, spec, start, end, _known(as_of), allowed, room.take)
            tables = [rows, *(as_logged(spec, table) for table in tables)]
        table = pa.concat_tables(tables, promote_options="permissive")
    if spec.data.from_history and spec.target.kind not in OF_NUMBERS:
        table = _whole_numbers(table, spec.target.column)
    return table.sort_by(spec.data.time_column), summary


def fingerprint(
    store: ObjectStore, spec: ModelSpec, allowed: DataSettings, windows: Windows | None = None
) -> list[list[str]]:
    """What the source holds now, as [name, mark] of each file: a mark differs once the file's bytes do. Of the history
    those that hold ``windows``.

    Raises:
        Permanent: no data, or none that may be read. Transient: the source is away.
    """
    found: list[list[str]] = []
    kind, _, place = (spec.data.files or "").partition(":")
    if kind == "folder":
        with _reading(spec):
            stats = [(file, file.stat()) for file in _files(Path(place), allowed)]
        found = [[str(file), f"{at.st_size} {at.st_mtime_ns} {at.st_ino}"] for file, at in stats]
    elif kind:
        found = [[key, store.mark(key) or ""] for key in _keys(store, place)]
    if spec.data.from_history and windows is not None:
        found += state_of(store, spec, windows.train_from, windows.holdout_to)
    return found


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its name, its size in bytes, and its SHA-256; None where that was too much to read."""

    name: str
    bytes: int
    sha256: str | None


def source_files(
    store: ObjectStore, spec: ModelSpec, allowed: DataSettings, most_bytes: int, windows: Windows | None = None
) -> list[SourceFile]:
    """What the source holds now, by content. Files are hashed in order until ``most_bytes`` are read.

    Raises:
        Permanent: no data, or none that may be read. Transient: the source is away.
    """
    kind, _, place = (spec.data.files or "").partition(":")
    keys = _keys(store, place) if kind not in ("", "folder") else []
    if spec.data.from_history and windows is not None:
        keys += [key for key, _ in state_of(store, spec, windows.train_from, windows.holdout_to)]
    found: list[SourceFile] = []
    left = most_bytes
    with _reading(spec):
        for path in _files(Path(place), allowed) if kind == "folder" else []:
            size = path.stat().st_size
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest() if size <= left else None
            found.append(SourceFile(str(path), size, digest))
            left -= size
        for key in keys:
            size = store.size(key) or 0
            digest = hashlib.sha256(store.get(key, allowed.max_file_bytes)).hexdigest() if size <= left else None
            found.append(SourceFile(key, size, digest))
            left -= size
    return found


def describe_window(spec: ModelSpec, windows: Windows) -> str:
    """The training window in words, for messages."""
    length, start, end = format_duration(spec.data.train), windows.train_from, windows.train_to
    return f"{length} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


class _Room:
    """How much of a window may still be taken."""

    def __init__(self, spec: ModelSpec, allowed: DataSettings) -> None:
        self._spec = spec.data.max_rows <= allowed.max_rows
        self._most_rows = min(spec.data.max_rows, allowed.max_rows)
        self._most_bytes = allowed.max_bytes
        self._rows = self._bytes = 0

    def check_rows(self, rows: int) -> None:
        """Holds that so many more rows may be taken."""
        if self._rows + rows > self._most_rows:
            raise InvalidField(
                "data.max_rows",
                f"the window holds more than {self._most_rows} rows;"
                + (" raise it or narrow the window" if self._spec else _more("max_rows", "narrow the window")),
            )

    def take(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Takes rows."""
        self.check_rows(batch.num_rows)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._bytes > self._most_bytes:
            problem = f"the window holds more than {self._most_bytes} bytes, decoded;"
            raise InvalidField("data.source", problem + _more("max_bytes", "narrow the window"))


def _more(setting: str, otherwise: str) -> str:
    return f" {otherwise}, or raise SHIPWAY__DATA__{setting.upper()} of trainer and evaluator"


def _rows(dataset: Any, spec: ModelSpec, columns: list[str], start: datetime, end: datetime, room: _Room) -> pa.Table:
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


@contextmanager
def _reading(spec: ModelSpec) -> Iterator[None]:
    """Files are read when their rows are asked for, so that what is wrong in them may show at any moment."""
    place = (spec.data.files or "").partition(":")[2] or "the history"
    try:
        yield
    except OSError as err:
        if err.errno is None:  # Arrow's word for damaged data; what the system says has a number
            raise InvalidField("data.source", f"{place}: not readable as Parquet: {err}") from err
        raise Transient(f"data.source {place}: {err}") from err
    except (pa.ArrowException, ValueError, OverflowError) as err:
        raise InvalidField("data.source", f"{place}: not readable as Parquet: {err}") from err


def _datasets(store: ObjectStore, spec: ModelSpec, allowed: DataSettings) -> list[Any]:
    kind, _, place = (spec.data.files or "").partition(":")
    if kind == "folder":
        datasets = [_folder(Path(place), allowed)]
    else:
        datasets = [_object(store.get(key, allowed.max_file_bytes)) for key in _keys(store, place)]
    for dataset in datasets:
        try:
            check_schema(dataset.schema, columns=allowed.max_columns, nesting=allowed.max_nesting)
        except InvalidField as err:
            setting = "max_columns" if err.field == "columns" else "max_nesting"
            raise InvalidField(err.field, f"{err.problem};" + _more(setting, f"leave it out of {place}")) from err
    return datasets


def _keys(store: ObjectStore, prefix: str) -> list[str]:
    keys = [key for key in store.list(prefix) if key.endswith(".parquet")]
    if not keys:
        raise InvalidField("data.source", f"there is no .parquet object under {prefix!r} in the object store")
    return keys


def _object(data: bytes) -> Any:
    """A Parquet object, read when asked and no further than asked."""
    kind = ds.ParquetFileFormat()
    fragment = kind.make_fragment(pa.BufferReader(data))
    return ds.FileSystemDataset([fragment], fragment.physical_schema, kind)


def _folder(path: Path, allowed: DataSettings) -> Any:
    return ds.dataset([str(file) for file in _files(path, allowed)], format="parquet")


def _files(path: Path, allowed: DataSettings) -> list[Path]:
    if not path.is_absolute():
        raise InvalidField("data.source", f"folder:{path} must be an absolute path")
    _check_place(path, allowed)  # first: whether something is there is nobody's business
    if not path.exists():
        raise InvalidField("data.source", f"{path} does not exist where the trainer runs")
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise InvalidField("data.source", f"{path} holds no .parquet file")
    for file in files:
        _check_place(file, allowed)
        if (size := file.stat().st_size) > allowed.max_file_bytes:
            problem = f"{file} has {size} bytes, more than {allowed.max_file_bytes};"
            raise InvalidField("data.source", problem + _more("max_file_bytes", "split it"))
    return files


def _check_place(path: Path, allowed: DataSettings) -> None:
    """Holds that a path, with every link followed, lies in a folder that may be read."""
    real = path.resolve()
    folders = [Path(folder) for folder in allowed.folders.split(":") if folder]
    if not any(real.is_relative_to(folder.resolve()) for folder in folders):
        raise InvalidField(
            "data.source",
            f"{path} lies in none of the folders that may be read ({allowed.folders or 'there are none'}); add its"
            " folder to SHIPWAY__DATA__FOLDERS of trainer and evaluator, or put the data into the object store",
        )


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
