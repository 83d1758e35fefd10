"""The model's own Python in the stages clean and preprocess: functions of installed packages, named by the model file.

Own code is never run at serving, so it may choose rows and make the target, and nothing else: a feature that it
computed would be another one in production. Such a function is refused, with the remedy. Runs in the child process.
"""

import hashlib
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.spec import ModelSpec

ROW = "__row"
_REMEDY = (
    "which requests would lack: compute it where the data is made, declare it as a feature, and send it in requests"
)


def code_of(field: str, entry: str, allowed: str) -> str:
    """The SHA-256 of the source of the module that an entry point names, so that other code is run again.

    Raises:
        Permanent: as function_of.
    """
    function_of(field, entry, allowed)
    module = importlib.import_module(entry.partition(":")[0])
    source = getattr(module, "__file__", None)
    return hashlib.sha256(Path(source).read_bytes() if source else entry.encode()).hexdigest()


def function_of(field: str, entry: str, allowed: str) -> Callable[[pa.Table], Any]:
    """The function that an entry point, ``package.module:function``, names. ``allowed``: packages, comma-separated.

    Raises:
        InvalidField: its package is not allowed here, or it is not there.
    """
    module_name, _, name = entry.partition(":")
    package = module_name.partition(".")[0]
    if package not in re.split(r"\s*,\s*", allowed.strip()):
        raise InvalidField(
            field, f"{package!r} is not in SHIPWAY_TRAINER__WORKER__PYTHON, the packages that may be run"
        )
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as err:
        raise InvalidField(field, f"{entry!r} is not installed in this trainer: {err}") from err
    if not callable(function):
        raise InvalidField(field, f"{entry!r} is no function")
    checked: Callable[[pa.Table], Any] = function
    return checked


def rows_kept(field: str, function: Callable[[pa.Table], Any], table: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows (rows,) the function keeps.

    Raises:
        Permanent: it fails, or gives anything but a true or false for each row.
    """
    given = _called(field, function, table)
    if isinstance(given, pa.Array | pa.ChunkedArray):
        given = given.to_numpy(zero_copy_only=False) if isinstance(given, pa.Array) else given.to_numpy()
    mask = np.asarray(given)
    if mask.dtype != np.bool_ or mask.shape != (table.num_rows,):
        raise InvalidField(
            field, f"must give true or false for each of {table.num_rows:,} rows, as an array of booleans"
        )
    return mask


def rows_made(field: str, function: Callable[[pa.Table], Any], table: pa.Table, spec: ModelSpec) -> pa.Table:
    """The rows that the function makes of the table's, in the order of time; each names its row in ``__row``.

    It may leave out and repeat rows, and change the target.

    Raises:
        Permanent: it fails, gives no such table, or computes features.
    """
    made = _called(field, function, table.append_column(ROW, pa.array(np.arange(table.num_rows))))
    if not isinstance(made, pa.Table) or ROW not in made.column_names:
        raise InvalidField(field, f"must give a pyarrow.Table with the column {ROW!r} that it was given")
    if added := [name for name in made.column_names if name not in (*table.column_names, ROW)]:
        raise InvalidField(field, f"adds the column {added[0]!r}, {_REMEDY}")
    if lacking := [name for name in table.column_names if name not in made.column_names]:
        raise InvalidField(field, f"leaves out the column {lacking[0]!r}")
    made = made.sort_by(ROW)
    rows = made.column(ROW)
    if not pa.types.is_integer(rows.type) or rows.null_count or not _within(rows, table.num_rows):
        raise InvalidField(field, f"{ROW!r} must name rows that it was given")
    before = table.take(rows)
    for name in spec.features:
        if not _comparable(made.column(name)).equals(_comparable(before.column(name))):
            raise InvalidField(field, f"changes the feature {name!r}, {_REMEDY}")
    return made.drop_columns([ROW])


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """NaN equals nothing, not even itself: here it is what it means, a missing value."""
    return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(column.type) else column


def _within(rows: pa.ChunkedArray, count: int) -> bool:
    if not len(rows):
        return True
    ends = pc.min_max(rows).as_py()
    return bool(ends["min"] >= 0 and ends["max"] < count)


def _called(field: str, function: Callable[[pa.Table], Any], table: pa.Table) -> Any:
    try:
        return function(table)
    except Exception as err:
        raise Permanent(f"{field}: {type(err).__name__}: {err}") from err
