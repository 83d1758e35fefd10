"""Reading the lines and numbers of a LightGBM text model so strictly that LightGBM can't read them differently.

LightGBM ends a line at a carriage return too, stops reading an array at the first odd character and fills the rest
with zeros, and knows only ASCII digits (``Common::GetLine`` and ``Common::Atoi``). So what Python's ``int`` would
forgive (``0_1``, a tab, other alphabets' digits) is refused, and nothing is split or parsed before it is counted.
"""

import re
from collections.abc import Mapping, Set

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Fields = Mapping[str, bytes]
# Possessive (`*+`), so that a long hostile line is refused in linear time and without a backtracking stack.
_INTEGERS = re.compile(rb"-?[0-9]{1,10}(?: -?[0-9]{1,10})*+")
# What "%.17g" and "%g" write. Of the finite ones the exponent is so bounded that a double holds every such number.
_DIGITS = rb"[0-9](?:\.[0-9]{1,20})?+"
# First, as most are so: what is read twice takes twice the time, and this is most of a proof's.
_PLAIN = rb"[0-9]{1,20}+(?:\.[0-9]{1,40})?+(?!e)"
_FINITE = rb"-?(?:" + _PLAIN + rb"|" + _DIGITS + rb"e(?:-[0-9]{2,3}|\+(?:[0-9]{2}|[12][0-9]{2}|30[0-7])))"
_ANY = rb"-?(?:" + _PLAIN + rb"|" + _DIGITS + rb"e[-+][0-9]{2,3}|inf)"
_NUMBERS = re.compile(_FINITE + rb"(?: " + _FINITE + rb")*+")
_NUMBERS_OR_INFINITE = re.compile(_ANY + rb"(?: " + _ANY + rb")*+")
_CONTROL = bytes(code for code in (*range(32), 127) if code != ord("\n"))


def check_characters(text: bytes, where: str) -> None:
    """Refuses control characters other than the line feed, and what is not UTF-8.

    Raises:
        InvalidField: it holds one; the message names the byte.
    """
    if len(text.translate(None, _CONTROL)) != len(text):
        at = next(at for at, code in enumerate(text) if code in _CONTROL)
        raise InvalidField(where, f"holds the control character {text[at : at + 1]!r} at byte {at}")
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as err:
            raise InvalidField(where, f"is not text: {err.reason} at byte {err.start}") from err


def read_fields(block: bytes, where: str, known: Set[str], flags: Set[str] = frozenset()) -> dict[str, bytes]:
    """The ``key=value`` lines of a block without empty lines; ``flags`` are keys that may stand without a value.

    Raises:
        InvalidField: a line is something else, unknown, or there twice.
    """
    if block.count(b"\n") > len(known):
        raise InvalidField(where, f"has more than {len(known)} lines")
    fields: dict[str, bytes] = {}
    for line in block.removesuffix(b"\n").split(b"\n"):
        raw, separator, value = line.partition(b"=")
        key = raw.decode("ascii", "replace")
        if key not in known or not (separator or key in flags):
            raise InvalidField(where, f"has an unknown line {line[:60].decode('utf-8', 'replace')!r}")
        if key in fields:
            raise InvalidField(f"{where}.{key}", "is there twice")
        fields[key] = value
    return fields


def required(fields: Fields, key: str, where: str) -> bytes:
    """The raw value of a key.

    Raises:
        InvalidField: the key is missing.
    """
    if key not in fields:
        raise InvalidField(f"{where}.{key}", "is missing")
    return fields[key]


def count_of(value: bytes) -> int:
    """How many entries a value has."""
    return value.count(b" ") + 1 if value else 0


def integer(fields: Fields, key: str, where: str) -> int:
    """One integer.

    Raises:
        InvalidField: it is missing, or something else.
    """
    check_integers(fields, key, where, 1)
    return int(fields[key])


def check_integers(fields: Fields, key: str, where: str, count: int) -> None:
    """Proves that there are exactly ``count`` integers.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    if not _holds(fields, key, where, count, _INTEGERS):
        raise InvalidField(f"{where}.{key}", "must be whole numbers with one space between")


def integers(fields: Fields, key: str, where: str, count: int) -> Ints:
    """Exactly ``count`` integers.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    check_integers(fields, key, where, count)
    return np.fromstring(fields[key].decode("ascii"), dtype=np.int64, sep=" ") if count else np.empty(0, np.int64)


def check_numbers(fields: Fields, key: str, where: str, count: int) -> None:
    """Proves that there are exactly ``count`` finite numbers.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    if not _holds(fields, key, where, count, _NUMBERS):
        raise InvalidField(f"{where}.{key}", "must be finite numbers with one space between")


def check_numbers_or_infinite(fields: Fields, key: str, where: str, count: int) -> None:
    """Proves that there are exactly ``count`` numbers, none of them NaN.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    if not _holds(fields, key, where, count, _NUMBERS_OR_INFINITE):
        raise InvalidField(f"{where}.{key}", "must be numbers with one space between")


def numbers_or_infinite(fields: Fields, key: str, where: str, count: int) -> Floats:
    """Exactly ``count`` numbers, none of them NaN.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    check_numbers_or_infinite(fields, key, where, count)
    return np.fromstring(fields[key].decode("ascii"), sep=" ") if count else np.empty(0)


def within(values: Ints, least: int, most: int, where: str) -> None:
    """Holds every value against bounds.

    Raises:
        InvalidField: with the place of the first that is outside.
    """
    if len(values) and (values.min() < least or values.max() > most):
        wrong = (values < least) | (values > most)
        at = int(wrong.argmax())
        raise InvalidField(f"{where}[{at}]", f"{values[at]} is not in {least} to {most}")


def _holds(fields: Fields, key: str, where: str, count: int, grammar: re.Pattern[bytes]) -> bool:
    value = required(fields, key, where)
    if count_of(value) != count:
        raise InvalidField(f"{where}.{key}", f"has {count_of(value)} values; {count} are needed")
    return not count or grammar.fullmatch(value) is not None
