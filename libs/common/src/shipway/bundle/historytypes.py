"""The types that features have in the prediction history, given to its columns, and to data that is put beside it."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.features import as_text
from shipway.contract.errors import InvalidField
from shipway.contract.history import FEATURE
from shipway.contract.signature import OF_NUMBERS
from shipway.contract.spec import FeatureSpec, ModelSpec

TIME = pa.timestamp("us", tz="UTC")
_TYPES: Mapping[str, pa.DataType] = {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.string()}


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
