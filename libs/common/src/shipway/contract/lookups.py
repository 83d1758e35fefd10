"""Features that a gateway looks up: how a version says which, and what a row of a look-up table may hold."""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from shipway.contract.errors import InvalidField

MAX_KEY = 200
MAX_VALUES = 1000
MAX_TEXT = 1000
_TABLE = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """Features that come from a look-up table where a request does not give them.

    ``key`` is the field of a request's row that names the entity. ``missing`` says what becomes of a row whose entity
    is not in the table, or was published longer than ``max_age_s`` ago: it is refused, or the features are null.
    """

    table: str
    key: str
    features: list[str]
    missing: Literal["refuse", "null"] = "refuse"
    max_age_s: float | None = None


def entity_key(value: Any) -> str | None:
    """The key that a value names an entity by: 7, 7.0 and "7" are one. None: it can't name any."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64:
        value = str(value)
    fits = isinstance(value, str) and 0 < len(value) <= MAX_KEY and value.isprintable()
    return value if fits else None


def row_key(table: str, key: str) -> str:
    """The name of a row among those of all tables: its Kafka key. No table's name has a slash."""
    return f"{table}/{key}"


def check_row(table: str, key: str, values: Mapping[str, Any]) -> None:
    """Holds a row of a look-up table against what tables may hold.

    Raises:
        InvalidField: names what is wrong, and the remedy.
    """
    if not _TABLE.fullmatch(table):
        problem = "must be lower-case letters, digits and dashes, starting with a letter, 63 at most"
        raise InvalidField("table", f"{table[:100]!r} {problem}")
    if entity_key(key) != key:
        raise InvalidField("key", f"{key[:100]!r} must be printable text of 1 to {MAX_KEY} characters")
    if not 1 <= len(values) <= MAX_VALUES:
        raise InvalidField("values", f"has {len(values)}; 1 to {MAX_VALUES} are allowed")
    for name, value in values.items():
        if not name or len(name) > MAX_KEY or not name.isprintable():
            raise InvalidField("values", f"{name[:100]!r} must be printable, {MAX_KEY} characters at most")
        if isinstance(value, str) and (len(value) > MAX_TEXT or "\x00" in value):
            raise InvalidField(f"values.{name}", f"must be text of {MAX_TEXT} characters at most, without NUL")
        if isinstance(value, float) and math.isinf(value):
            raise InvalidField(f"values.{name}", "must be a finite number; null is a missing value")
        if value is not None and not isinstance(value, str | int | float):
            kind = type(value).__name__
            raise InvalidField(f"values.{name}", f"must be text, a number, true, false or null, not {kind}")
