"""The rows in tensors of the Open Inference Protocol: one a feature, or all of them as one (see ``inference``)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Feature
from shipway.contract.tensors import NUMBERS, Read

Matrix = npt.NDArray[np.float64]
Encode = Callable[[Sequence[Mapping[str, Any]]], list[list[float]]]


def rows_of(inputs: Sequence[Read], encoder: RowEncoder, encode: Encode | None = None) -> Matrix:
    """The rows of a request's tensors, by ``encode`` where they are not simply a column a feature.

    Of a model with a feature named ``rows`` a tensor of one column is that.
    """
    if len(inputs) == 1 and inputs[0].name == "rows" and len(inputs[0].shape) == 2:
        return _whole(inputs[0], encoder)
    if not inputs:
        raise InvalidField("inputs", 'needs a tensor a feature, or all as one with the name "rows"')
    count, columns = inputs[0].shape[0], {}
    for i, tensor in enumerate(inputs):
        if tensor.shape not in ((count,), (count, 1)):
            raise InvalidField(f"inputs[{i}].shape", f"is {list(tensor.shape)}; [{count}] or [{count}, 1] is wanted")
        if tensor.name in columns:
            raise InvalidField(f"inputs[{i}].name", f"{tensor.name[:100]!r} is there twice")
        columns[tensor.name] = tensor
    rows = _by_column(columns, count, encoder)
    if rows is None:
        told = zip(*(tensor.scalars() for tensor in columns.values()), strict=True)
        named = [dict(zip(columns, values, strict=True)) for values in told]
        rows = np.array((encode or encoder.encode)(named), dtype=np.float64)
    return rows


def _by_column(tensors: Mapping[str, Read], count: int, encoder: RowEncoder) -> Matrix | None:
    """The rows of a tensor a feature, where nothing is unusual, as in most; None leaves it to ``encode``."""
    if tensors.keys() != encoder.names:
        return None
    rows = np.empty((count, len(encoder.columns)), np.float64)
    for i, (feature, codes) in enumerate(encoder.columns):
        values, datatype = tensors[feature.name].values, tensors[feature.name].datatype
        try:
            if feature.type == "category" and datatype == "BYTES":
                rows[:, i] = [codes[value] for value in values]
            elif feature.type == "boolean" and datatype == "BOOL" and None not in values:
                rows[:, i] = values
            elif feature.type == "number" and datatype in NUMBERS:
                rows[:, i] = values  # None becomes NaN
            else:
                return None
        except (KeyError, OverflowError):
            return None
        if np.isinf(rows[:, i]).any() or (not feature.nullable and np.isnan(rows[:, i]).any()):
            return None
    return rows


def _whole(tensor: Read, encoder: RowEncoder) -> Matrix:
    features = encoder.signature.features
    if tensor.shape[1] != len(features):
        raise InvalidField("inputs[0].shape", f"is {list(tensor.shape)}; [rows, {len(features)}] is wanted")
    if tensor.datatype not in NUMBERS:
        raise InvalidField("inputs[0].datatype", f"{tensor.datatype[:20]!r}: the rows of all features are numbers")
    try:
        rows = np.asarray(tensor.values, dtype=np.float64).reshape(tensor.shape)
    except OverflowError as err:
        raise InvalidField("inputs[0].data", "holds a number that is too large") from err
    if np.isinf(rows).any():
        raise InvalidField("inputs[0].data", "holds an infinite number; a missing value is null, or NaN in bytes")
    for feature, column in zip(features, rows.T, strict=True):
        if feature.type == "category" or not feature.nullable:
            _check_column(feature, column)
    return np.ascontiguousarray(rows)


def _check_column(feature: Feature, column: Matrix) -> None:
    if not feature.nullable and np.isnan(column).any():
        raise InvalidField("inputs[0].data", f"lacks a value of {feature.name}, which must not be null")
    if feature.type == "category":
        codes = column[column >= 0]
        if (codes >= len(feature.categories)).any() or (codes != np.floor(codes)).any():
            known = len(feature.categories) - 1
            raise InvalidField("inputs[0].data", f"holds what is no code of {feature.name}: 0 to {known}, or missing")
