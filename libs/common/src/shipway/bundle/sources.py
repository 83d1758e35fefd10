"""Where a model's data lies: a folder that may be read, or a prefix in the object store. All calls block.

``allowed`` says which folders may be read, and how much of anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from shipway.bundle.room import more
from shipway.contract.arrowbounds import check_schema
from shipway.contract.errors import InvalidField, Transient
from shipway.contract.spec import ModelSpec
from shipway.runtime.lean import without_pandas
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

with without_pandas():
    import pyarrow.dataset as ds


@contextmanager
def reading(spec: ModelSpec) -> Iterator[None]:
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


def datasets_of(store: ObjectStore, spec: ModelSpec, allowed: DataSettings) -> list[Any]:
    """A source's files as Arrow datasets, read when asked; each may have a schema of its own.

    Raises:
        Permanent: there are none, or none that may be read. Transient: the store is away.
    """
    kind, _, place = (spec.data.files or "").partition(":")
    if kind == "folder":
        datasets = [_folder(Path(place), allowed)]
    else:
        datasets = [_object(store.get(key, allowed.max_file_bytes)) for key in keys_of(store, place)]
    for dataset in datasets:
        try:
            check_schema(dataset.schema, columns=allowed.max_columns, nesting=allowed.max_nesting)
        except InvalidField as err:
            setting = "max_columns" if err.field == "columns" else "max_nesting"
            raise InvalidField(err.field, f"{err.problem};" + more(setting, f"leave it out of {place}")) from err
    return datasets


def keys_of(store: ObjectStore, prefix: str) -> list[str]:
    """The Parquet objects under a prefix.

    Raises:
        InvalidField: there are none. Transient: the store is away.
    """
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
    return ds.dataset([str(file) for file in files_of(path, allowed)], format="parquet")


def files_of(path: Path, allowed: DataSettings) -> list[Path]:
    """The Parquet files of a folder, each in a place that may be read, and no larger than allowed.

    Raises:
        InvalidField: there are none, or none that may be read.
    """
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
            raise InvalidField("data.source", problem + more("max_file_bytes", "split it"))
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
