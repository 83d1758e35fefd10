"""Where a key lies in [0, 1) during a canary, so that it keeps its version as the candidate's share grows. Pure.

The place is a hash of the key and of what is rolled out: stable for one canary, over gateways and their restarts, and
another one in the next, so that it is not always the same clients who try what is new.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from shipway.contract.rowencoding import category_text


class _Rows(msgspec.Struct, frozen=True):
    rows: list[Any] | None = None
    row: Any = None
    columns: list[str] | None = None
    data: list[list[Any]] | None = None


_decode = msgspec.json.Decoder(_Rows).decode


@dataclass(frozen=True)
class Stickiness:
    """``by`` is header or feature, ``name`` which of them; ``salt`` names the canary."""

    by: str
    name: str
    salt: str

    def place(self, headers: Iterable[tuple[bytes, bytes]], rows: Sequence[Any] | None, body: bytes) -> float | None:
        """Where a request lies; None where it has no key, and is drawn anew.

        Of several rows the first one's key decides: they are answered by one version. ``rows`` are those of the body
        where it was read already.
        """
        if self.by == "header":
            key = _header(headers, self.name.lower().encode())
        else:
            key = _feature(rows if rows is not None else _rows_in(body), self.name)
        return None if key is None else place(self.salt, key)


def parse_stickiness(text: str, salt: str) -> Stickiness | None:
    """What the desired state says of it; None where it says nothing, or what only a newer gateway knows."""
    by, _, name = text.partition(":")
    return Stickiness(by, name, salt) if by in ("header", "feature") and name else None


def place(salt: str, key: str) -> float:
    """A place in [0, 1), evenly spread over keys."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    found = next((value for key, value in headers if key == name), b"")
    return found.decode("latin-1") or None


def _feature(rows: Sequence[Any], name: str) -> str | None:
    """Its value in words; JSON's 7 and 7.0 are one key."""
    value = rows[0].get(name) if rows and isinstance(rows[0], dict) else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else repr(value)
    return category_text(value)


def _rows_in(body: bytes) -> Sequence[Any]:
    """The rows of a request; none where it is none, which is for its reader to say."""
    try:
        request = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    if request.columns and request.data:
        return (dict(zip(request.columns, request.data[0], strict=False)),)
    return request.rows or (() if request.row is None else (request.row,))
