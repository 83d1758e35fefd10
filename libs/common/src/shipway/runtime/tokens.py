"""The tokens file: one JSON object a line, the last line of a name counts; written by appending only.

Appending also revokes: so a file that is mounted alone into a container keeps its inode and its history, and a reader
never meets half a file. It holds hashes only, of 256 random bits each, which nobody can guess back.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shipway.contract.errors import InvalidField, Permanent
from shipway.runtime.access import SCOPES, Scope, Token

PREFIX = "shipway_"
MAX_FILE_BYTES = 4_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of the file: a token that is created, or (with ``revoked_at``) the end of the one of that name."""

    name: str
    sha256: str = ""
    scopes: list[Scope] = []
    created_at: datetime | None = None
    expires_at: datetime | None = None
    requests_per_s: float | None = None
    revoked_at: datetime | None = None


_decoder = msgspec.json.Decoder(Line)


def digest_of(token: bytes) -> bytes:
    """The hash that a token is known by."""
    return hashlib.sha256(token).digest()


def read_lines(path: Path) -> dict[str, Line]:
    """The tokens in force, by name.

    Raises:
        Permanent: there is no such file, or a line of it is not one; says which and why.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as err:
        raise Permanent(
            f"tokens file {path}: {err.strerror}; make one: shipway token create NAME --scope read"
        ) from err
    if len(raw) > MAX_FILE_BYTES:
        raise Permanent(f"tokens file {path}: larger than {MAX_FILE_BYTES} bytes")
    found: dict[str, Line] = {}
    for number, text in enumerate(raw.splitlines(), 1):
        if not text.strip() or text.lstrip().startswith(b"#"):
            continue
        try:
            line = _checked(_decoder.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidField) as err:
            raise Permanent(f"tokens file {path}, line {number}: {err}") from err
        found.pop(line.name, None)
        if line.revoked_at is None:
            found[line.name] = line
    return found


def by_digest(lines: Iterable[Line]) -> dict[bytes, Token]:
    """Tokens by their hash, as a service looks for them."""
    tokens = (
        Token(
            name=line.name,
            sha256=bytes.fromhex(line.sha256),
            scopes=frozenset(line.scopes),
            expires_at=line.expires_at.timestamp() if line.expires_at else None,
            requests_per_s=line.requests_per_s,
        )
        for line in lines
    )
    return {token.sha256: token for token in tokens}


def create(
    path: Path,
    name: str,
    scopes: Iterable[Scope],
    *,
    expires_at: datetime | None = None,
    requests_per_s: float | None = None,
) -> str:
    """Makes a token and appends its hash to the file (which is made where it is missing); the token is kept nowhere.

    Raises:
        InvalidField: the name is taken or not one, or a limit makes no sense. Permanent: as read_lines.
    """
    if path.exists() and name in read_lines(path):
        raise InvalidField("name", f"{name!r} is taken; choose another, or first: shipway token revoke {name}")
    token = PREFIX + secrets.token_urlsafe(32)
    line = Line(
        name=name,
        sha256=digest_of(token.encode()).hex(),
        scopes=[scope for scope in SCOPES if scope in set(scopes)],
        created_at=datetime.now(UTC),
        expires_at=expires_at,
        requests_per_s=requests_per_s,
    )
    _append(path, _checked(line))
    return token


def revoke(path: Path, name: str) -> None:
    """Ends a token; running services notice within two seconds.

    Raises:
        InvalidField: there is none of that name. Permanent: as read_lines.
    """
    if name not in (known := read_lines(path)):
        raise InvalidField(
            "name", f"{name[:100]!r} is no token in force; there are {', '.join(sorted(known)) or 'none'}"
        )
    _append(path, Line(name=name, revoked_at=datetime.now(UTC)))


def _checked(line: Line) -> Line:
    if not _NAME.fullmatch(line.name):
        raise InvalidField("name", "must be 1 to 63 lower-case letters, digits, dots and dashes")
    if line.revoked_at is not None:
        return line
    if not _DIGEST.fullmatch(line.sha256):
        raise InvalidField("sha256", "must be the 64 hexadecimal digits of the token's hash")
    if not line.scopes:
        raise InvalidField("scopes", f"give at least one of {', '.join(SCOPES)}")
    if line.requests_per_s is not None and not 0 < line.requests_per_s < 1e9:
        raise InvalidField("requests_per_s", "must be above 0")
    if line.expires_at is not None and line.expires_at.tzinfo is None:
        raise InvalidField("expires_at", "needs a time zone, such as 2026-12-31T00:00:00Z")
    return line


def _append(path: Path, line: Line) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            unfinished = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if unfinished else b"") + msgspec.json.encode(line) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as err:
        raise Permanent(f"tokens file {path}: {err.strerror}") from err
