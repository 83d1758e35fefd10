"""Reading the lines and numbers of a LightGBM text model so strictly that LightGBM can't read them differently.

LightGBM ends a line at a carriage return too, stops reading an array at the first odd character and fills the rest
with zeros, and knows only ASCII digits (``Common::GetLine`` and ``Common::Atoi``). So what Python's ``int`` would
forgive (``0_1``, a tab, other alphabets' digits) is refused, and nothing is split or parsed before it is counted.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Fields = Mapping[str, bytes]
N = TypeVar("N", np.int64, np.float64)
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


@dataclass(frozen=True)
class Block:
    """The ``key=value`` lines of one part of a file, and its name in messages."""

    where: str
    fields: Fields


@dataclass(frozen=True)
class Column(Generic[N]):
    """A key's numbers in many blocks, end to end: ``values`` (all,); block ``i`` has ``counts[i]`` of them."""

    key: str
    blocks: Sequence[Block]
    counts: Ints
    values: npt.NDArray[N]

    def place(self, at: int) -> str:
        """What the value at ``at`` of all is called in messages: with its index where the block has several."""
        ends = np.cumsum(self.counts)
        block = int(np.searchsorted(ends, at, side="right"))
        index = at - int(ends[block] - self.counts[block])
        return f"{self.blocks[block].where}.{self.key}" + (f"[{index}]" if self.counts[block] > 1 else "")


def check_integers(blocks: Sequence[Block], key: str, counts: Ints) -> bytes:
    """Proves that each block has its count of integers; gives them all, with one space between.

    Many blocks are read at once, as a call for each of some thousands would take most of the time.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    return _proven(blocks, key, counts, _INTEGERS, "whole numbers")


def integers(blocks: Sequence[Block], key: str, counts: Ints) -> Column[np.int64]:
    """Each block's count of integers.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    text = check_integers(blocks, key, counts)
    values = np.fromstring(text.decode("ascii"), dtype=np.int64, sep=" ") if text else np.empty(0, np.int64)
    return Column(key, blocks, counts, values)


def check_numbers(blocks: Sequence[Block], key: str, counts: Ints) -> None:
    """Proves that each block has its count of finite numbers.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    _proven(blocks, key, counts, _NUMBERS, "finite numbers")


def check_numbers_or_infinite(blocks: Sequence[Block], key: str, counts: Ints) -> bytes:
    """Proves that each block has its count of numbers, none of them NaN; gives them all, with one space between.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    return _proven(blocks, key, counts, _NUMBERS_OR_INFINITE, "numbers")


def numbers_or_infinite(blocks: Sequence[Block], key: str, counts: Ints) -> Column[np.float64]:
    """Each block's count of numbers, none of them NaN.

    Raises:
        InvalidField: they are missing, more, fewer, or something else.
    """
    text = check_numbers_or_infinite(blocks, key, counts)
    return Column(key, blocks, counts, np.fromstring(text.decode("ascii"), sep=" ") if text else np.empty(0))


def within(column: Column[np.int64], least: int, most: int) -> None:
    """Holds every value against bounds.

    Raises:
        InvalidField: with the place of the first that is outside.
    """
    values = column.values
    if len(values) and (values.min() < least or values.max() > most):
        at = int(((values < least) | (values > most)).argmax())
        raise InvalidField(column.place(at), f"{values[at]} is not in {least} to {most}")


def _proven(blocks: Sequence[Block], key: str, counts: Ints, grammar: re.Pattern[bytes], what: str) -> bytes:
    values = []
    for block, count in zip(blocks, counts.tolist(), strict=True):
        value = required(block.fields, key, block.where)
        if count_of(value) != count:
            raise InvalidField(f"{block.where}.{key}", f"has {count_of(value)} values; {count} are needed")
        if count:
            values.append(value)
    # Where a value is wrong all of them together are, as a space stands between.
    together = b" ".join(values)
    if together and grammar.fullmatch(together) is None:
        wrong = next(b for b in blocks if b.fields[key] and grammar.fullmatch(b.fields[key]) is None)
        raise InvalidField(f"{wrong.where}.{key}", f"must be {what} with one space between")
    return together
