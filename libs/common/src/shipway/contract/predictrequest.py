"""The body of ``POST /predict/{model}``, and how it is read where nothing about it is unusual, which most are.

The parser then knows the version's features and their types, so no row becomes a dictionary whose values are looked up
and checked one by one. What does not fit (a missing or unknown field, a null, an unknown category, a number that is not
exact) is read by rowencoding, which says what is wrong with it; both read the same, as a property test holds.
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from shipway.contract.rowencoding import EXACT
from shipway.contract.signature import Signature
from shipway.contract.splitrows import SplitRows

_FEW = 8  # rows; their least and largest number are found sooner without numpy
_TYPES: dict[str, type] = {"number": float, "category": str, "boolean": bool}
_values = msgspec.structs.astuple
# No number is larger than the length of the vector, but for the last bit of it: one call instead of two walks.
_small = math.hypot


class PredictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body: ``rows``, or one ``row``, or ``columns`` with ``data`` (see splitrows).

    ``client_ids`` name the rows in the client's own words; ``explain`` asks for what each feature contributed.
    """

    rows: list[Any] | None = None
    row: dict[str, Any] | None = None
    client_ids: list[str] | None = None
    explain: bool = False
    columns: list[str] | None = None
    data: list[Any] | None = None


class PlainRequests:
    """Reads a version's requests; made once a version.

    Raises:
        ValueError: features have names that the parser can't be told.
    """

    def __init__(self, signature: Signature) -> None:
        features = signature.features
        names = {f"f{i}": feature.name for i, feature in enumerate(features)}
        fields = [(f"f{i}", _TYPES[feature.type]) for i, feature in enumerate(features)]
        row: Any = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, frozen=True, gc=False)
        rows: list[Any] = [("rows", list[row] | None, None), ("row", row | None, None)]
        rows += [("columns", None, None), ("data", None, None)]
        request = msgspec.defstruct("Request", rows, bases=(PredictRequest,), frozen=True)
        self._read: Callable[[bytes], Any] = msgspec.json.Decoder(request).decode
        self._split = SplitRows(signature, PredictRequest)
        self._pack = struct.Struct(f"<{len(features)}d").pack
        self._codes = [
            (i, {category: float(code) for code, category in enumerate(feature.categories)})
            for i, feature in enumerate(features)
            if feature.type == "category"
        ]

    def read(self, body: bytes) -> PredictRequest | None:
        """The request, whose rows are for ``numbers``; None where something is unusual."""
        found: PredictRequest | None
        try:
            found = self._read(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = self._split.read(body)
        return found

    def numbers(self, rows: Sequence[Any], columns: Sequence[str] | None = None) -> bytes | None:
        """The rows (of ``columns``, where these are named once) as the rows protocol has them.

        None where something is unusual.
        """
        if columns is not None:
            return self._split.numbers(columns, rows)
        plain = [_values(row) for row in rows]
        if len(plain) == 1 and not self._codes and _small(*plain[0]) < EXACT / 2:
            return self._pack(*plain[0])
        if self._codes:
            coded = self._coded(plain)
            if coded is None:
                return None
            plain = coded
        packed = b"".join([self._pack(*row) for row in plain])
        if len(plain) < _FEW:
            exact = all(_small(*row) < EXACT / 2 or (min(row) > -EXACT and max(row) < EXACT) for row in plain)
        else:
            exact = float(np.abs(np.frombuffer(packed, dtype="<f8")).max()) < EXACT
        return packed if exact else None

    def _coded(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]] | None:
        coded = []
        for row in rows:
            values = list(row)
            for i, codes in self._codes:
                code = codes.get(values[i])
                if code is None:
                    return None
                values[i] = code
            coded.append(tuple(values))
        return coded
