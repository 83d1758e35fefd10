"""Rows whose columns are named once, as requests of many give them: ``{"columns": [...], "data": [[...], ...]}``.

The orientation that pandas calls split, and MLflow's scoring server ``dataframe_split``. A row means what the same
values mean with their names, and is refused in the same words; ``SplitRows`` reads rows in which nothing is unusual
without making objects of them, as a property test holds.
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField
from shipway.contract.rowencoding import EXACT, UNSEEN
from shipway.contract.signature import Feature, Signature

Matrix = npt.NDArray[np.float64]
_TYPES: dict[str, Any] = {"number": float, "category": str, "boolean": bool}
# Orders of columns that are kept; clients have one each. What a new one takes is that of reading so many bytes.
_MAX_ORDERS = 8
_WORTH_AN_ORDER = 8_000


def named_rows(columns: Sequence[str], data: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows as objects of names and values.

    Raises:
        InvalidField: a column is there twice, or a row has not a value a column.
    """
    if len(set(columns)) != len(columns):
        twice = next(name for i, name in enumerate(columns) if name in columns[:i])
        raise InvalidField("columns", f"names {twice[:100]!r} twice")
    for i, row in enumerate(data):
        if not isinstance(row, list):
            raise InvalidField(f"data[{i}]", "must be a list of values, one a column")
        if len(row) != len(columns):
            raise InvalidField(f"data[{i}]", f"has {len(row)} values; there are {len(columns)} columns")
    return [dict(zip(columns, row, strict=True)) for row in data]


class _Order:
    """The columns in the order in which a client gives them. Raises ValueError where they are not a version's."""

    def __init__(self, columns: Sequence[str], features: Sequence[Feature], request: type) -> None:
        places = {feature.name: i for i, feature in enumerate(features)}
        if not set(columns) <= places.keys() or len(set(columns)) != len(columns):
            raise ValueError("other columns, or one twice")
        if not all(feature.optional for feature in features if feature.name not in columns):
            raise ValueError("a column is missing")
        self.columns = tuple(columns)
        self._width = len(features)
        self._places = [places[name] for name in columns]
        self._features = [features[i] for i in self._places]
        self._in_order = self._places == list(range(len(features)))
        self._pack = struct.Struct(f"<{len(columns)}d").pack
        self._codes = [_codes(feature) for feature in self._features]
        self._coded = any(codes is not None for codes in self._codes)
        row = [_TYPES[f.type] | None if f.nullable else _TYPES[f.type] for f in self._features]
        rows: Any = list[tuple[*row]]  # type: ignore[valid-type]
        fields: list[Any] = [("columns", list[str] | None, None), ("data", rows | None, None)]
        fields += [("rows", None, None), ("row", None, None)]
        split = msgspec.defstruct("Split", fields, bases=(request,), frozen=True, forbid_unknown_fields=True)
        self.read: Callable[[bytes], Any] = msgspec.json.Decoder(split).decode

    def numbers(self, data: Sequence[tuple[Any, ...]]) -> bytes | None:
        """The rows as the rows protocol has them; None where something is unusual."""
        if not self._coded:
            try:
                packed = b"".join([self._pack(*row) for row in data])
            except struct.error:  # a value is missing
                packed = np.array(data, "<f8").tobytes()
            given = np.frombuffer(packed, "<f8").reshape(len(data), len(self.columns))
            if not _exact(given):
                return None
            return packed if self._in_order else self._in_place(given).tobytes()
        made = np.empty((len(data), len(self.columns)), "<f8")
        by_column = zip(self._features, self._codes, zip(*data, strict=True), strict=True)
        for i, (feature, codes, column) in enumerate(by_column):
            if codes is None:
                made[:, i] = column
            elif feature.unseen == "missing":
                made[:, i] = [codes.get(value, UNSEEN) for value in column]
            else:
                try:
                    made[:, i] = [codes[value] for value in column]
                except KeyError:
                    return None
        return self._in_place(made).tobytes() if _exact(made) else None

    def _in_place(self, given: Matrix) -> Matrix:
        made = np.full((len(given), self._width), np.nan, "<f8")
        made[:, self._places] = given
        return made


class SplitRows:
    """Reads a version's requests of this form; made once a version. ``request`` is the struct that they are besides."""

    def __init__(self, signature: Signature, request: type) -> None:
        self._features = signature.features
        self._request = request
        self._last = _Order([feature.name for feature in self._features], self._features, request)
        self._orders = {self._last.columns: self._last}

    def read(self, body: bytes) -> Any:
        """The request, whose ``data`` is for ``numbers``; None where something is unusual."""
        try:
            found = self._last.read(body)
            if tuple(found.columns or ()) == self._last.columns:
                return found
        except _NOT_SO:
            pass
        try:
            columns = tuple(_columns(body).columns)
            if columns == self._last.columns:
                return None
            self._last = self._order(columns, len(body))
            return self._last.read(body)
        except (*_NOT_SO, ValueError):
            return None

    def numbers(self, columns: Sequence[str], data: Sequence[tuple[Any, ...]]) -> bytes | None:
        """The rows of the request that was read just now; None where something is unusual."""
        return self._orders[tuple(columns)].numbers(data)

    def _order(self, columns: tuple[str, ...], size: int) -> _Order:
        order = self._orders.get(columns)
        if order is None:
            if size < _WORTH_AN_ORDER:
                raise ValueError("a few rows are sooner read one by one")
            order = _Order(columns, self._features, self._request)
            if len(self._orders) == _MAX_ORDERS:
                del self._orders[next(iter(self._orders))]
            self._orders[columns] = order
        return order


class _Columns(msgspec.Struct, frozen=True):
    columns: list[str]


_NOT_SO = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_columns = msgspec.json.Decoder(_Columns).decode


def _codes(feature: Feature) -> dict[str | None, float] | None:
    """What a category's values are as numbers; None: they are numbers."""
    if feature.type != "category":
        return None
    codes: dict[str | None, float] = {category: float(code) for code, category in enumerate(feature.categories)}
    return codes | {None: math.nan} if feature.nullable else codes


def _exact(numbers: Matrix) -> bool:
    """Whether each is a finite number that is exact, or is missing."""
    return not bool((np.abs(numbers) >= EXACT).any())
