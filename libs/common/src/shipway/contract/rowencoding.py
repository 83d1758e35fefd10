"""Rows of named values as a model's numbers, by its signature alone; every wrong field is named with the remedy."""

import difflib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.signature import Feature, Signature

MAX_PROBLEMS = 20
EXACT = 2**53
"""Integers up to here are exact as float64."""
UNSEEN = -1.0  # LightGBM sends a negative category the way of a missing one; the log can still tell them apart


class InvalidRows(Permanent):
    """Rows that the signature refuses, with every problem found (the first twenty)."""

    def __init__(self, problems: Sequence[InvalidField]) -> None:
        super().__init__("; ".join(str(p) for p in problems))
        self.problems = list(problems)


class RowEncoder:
    """Turns named values into the model's numbers; made once a version, used for every request.

    A missing value is NaN; a category is its code, or UNSEEN; a boolean is 0 or 1. ``columns`` are the features, each
    with the codes of its categories. ``fields`` are what a request's row may give: its features, and keys by which
    others are looked up (``lookups``, which is done before).
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.names = frozenset(f.name for f in signature.features)
        self.lookups = signature.lookups
        self.fields = self.names | {one.key for one in signature.lookups}
        self.columns = [(f, {c: float(i) for i, c in enumerate(f.categories)}) for f in signature.features]
        names = [f.name for f in signature.features]
        self._values: Callable[[Any], tuple[Any, ...]] = (
            operator.itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
        )
        self._others = [(i, f.type, codes) for i, (f, codes) in enumerate(self.columns) if f.type != "number"]

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> list[list[float]]:
        """Rows of named values, as rows of numbers, each ``len(features)`` long.

        Raises:
            InvalidRows: with every field that is missing, unknown or of the wrong type.
        """
        problems: list[InvalidField] = []
        encoded = [
            self._plain(row) or self._row(i, row, problems)
            for i, row in enumerate(rows)
            if len(problems) < MAX_PROBLEMS
        ]
        if problems:
            raise InvalidRows(problems[:MAX_PROBLEMS])
        return encoded

    def _plain(self, row: Any) -> list[float] | None:
        """The numbers of a row in which nothing is unusual, which most are; None leaves it to ``_row``."""
        if type(row) is not dict or len(row) != len(self.columns):
            return None
        try:
            numbers = list(self._values(row))
        except KeyError:
            return None
        for i, kind, codes in self._others:
            value = numbers[i]
            if kind == "category" and type(value) is str and value in codes:
                numbers[i] = codes[value]
            elif kind == "boolean" and type(value) is bool:
                numbers[i] = 1.0 if value else 0.0
            else:
                return None
        for i, value in enumerate(numbers):
            if type(value) is not float:
                if type(value) is not int or not -EXACT <= value <= EXACT:
                    return None
                numbers[i] = float(value)
        # Of finite numbers only can the sum be finite; where it overflows, _row finds that all is well.
        return numbers if math.isfinite(sum(numbers)) else None

    def _row(self, index: int, row: Any, problems: list[InvalidField]) -> list[float]:
        if not isinstance(row, Mapping):
            problems.append(InvalidField(f"rows[{index}]", "must be an object of feature names and values"))
            return []
        numbers: list[float] = []
        for feature, codes in self.columns:
            try:
                numbers.append(_number(feature, codes, row))
            except InvalidField as err:
                problems.append(InvalidField(f"rows[{index}].{err.field}", err.problem))
        if len(row) > len(numbers) or not row.keys() <= self.names:
            problems.extend(
                InvalidField(f"rows[{index}].{str(name)[:100]}", self._unknown(str(name)[:100]))
                for name in row
                if name not in self.names
            )
        return numbers

    def _unknown(self, name: str) -> str:
        if name in self.fields:
            return "is what gateways look features up by; here, give the features"
        close = difflib.get_close_matches(name, self.fields, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(self.fields))}"
        return f"is not a feature of this model; {hint}"


_ABSENT = object()


def _number(feature: Feature, codes: Mapping[str, float], row: Mapping[str, Any]) -> float:
    value = row.get(feature.name, _ABSENT)
    if value is _ABSENT:
        if feature.optional:
            return math.nan
        remedy = f"send a {feature.type}" + (" or null" if feature.nullable else "")
        raise InvalidField(feature.name, f"is missing; {remedy}")
    if value is None:
        if feature.nullable:
            return math.nan
        raise InvalidField(feature.name, f"must not be null; send a {feature.type}")
    if feature.type == "category":
        return _code(feature, codes, value)
    if feature.type == "boolean":
        if isinstance(value, bool):
            return float(value)
        raise InvalidField(feature.name, f"must be true or false, not {_kind(value)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(feature.name, f"must be a number, not {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidField(feature.name, "must be a finite number; send null for a missing value")
    return number


def category_text(value: Any) -> str | None:
    """A category's value as the text it is known by, or None where the value can't be a category's."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _code(feature: Feature, codes: Mapping[str, float], value: Any) -> float:
    text = category_text(value)
    if text is None:
        raise InvalidField(feature.name, f"must be a category (text), not {_kind(value)}")
    code = codes.get(text)
    if code is not None:
        return code
    if feature.unseen == "missing":
        return UNSEEN
    close = difflib.get_close_matches(text[:100], list(codes)[:1000], 3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"it has {len(codes)} known values"
    raise InvalidField(feature.name, f"{text[:100]!r} is not a known category; {hint}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, str):
        return f"text ({value[:40]!r})"
    return {int: "a number", float: "a number", list: "a list", dict: "an object"}.get(type(value), "that")
