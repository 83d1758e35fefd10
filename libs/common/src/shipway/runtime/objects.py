"""The object store's edge: a local folder or S3, behind one small interface; every call is blocking.

Async code calls it with ``asyncio.to_thread``. Keys are slash-separated names without dots-only parts, so
that no key leaves its folder.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.settings import ObjectsSettings

_KEY = re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9_.=+-]+(?:/[A-Za-z0-9_.=+-]+)*")


class ObjectMissing(Permanent):
    """There is no such object."""


class ObjectStore(Protocol):
    """Whole objects by key.

    All raise Transient while the store is away, and Permanent for a key that is not one.
    """

    def put(self, key: str, data: bytes) -> None:
        """Stores the object, whole or not at all, replacing one that is there."""

    def get(self, key: str, max_bytes: int) -> bytes:
        """The object's bytes. Raises ObjectMissing, and Permanent where it is larger than ``max_bytes``."""
        ...

    def size(self, key: str) -> int | None:
        """The object's size in bytes, or None where there is none."""
        ...

    def mark(self, key: str) -> str | None:
        """Something that is another once the object's bytes are; None where there is no object."""
        ...

    def written_at(self, key: str) -> datetime | None:
        """When the object was put there, by the store's clock; None where there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """The keys that start with ``prefix``, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; nothing to do where there is none."""

    def probe(self) -> None:
        """Raises Transient where the store can't be used now."""


def open_store(settings: ObjectsSettings) -> ObjectStore:
    """The store that the settings' URL names.

    Raises:
        Permanent: the URL is of no kind that is known.
    """
    parts = urlsplit(settings.url)
    if parts.scheme == "file" and parts.path:
        return FolderStore(Path(parts.path))
    if parts.scheme == "s3" and parts.netloc:
        from shipway.runtime.s3 import S3Store  # its imports cost those who use a folder half a second

        return S3Store(settings, parts.netloc)
    raise Permanent(f"OBJECTS__URL: {settings.url!r} must be file:///folder or s3://bucket")


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        Permanent: it is not a key.
    """
    if len(key) > 900 or not _KEY.fullmatch(key):
        raise Permanent(f"{key[:100]!r} is not an object key")
    return key


class FolderStore:
    """Objects as files below a folder. A put is a rename of a synced file, so it is whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as err:
            raise Transient(f"object store {self._folder}: {err}") from err

    def get(self, key: str, max_bytes: int) -> bytes:
        """See ObjectStore."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
        except (FileNotFoundError, IsADirectoryError) as err:
            raise ObjectMissing(f"object {key} is missing") from err
        except OSError as err:
            raise Transient(f"object store {self._folder}: {err}") from err
        if len(data) > max_bytes:
            raise Permanent(f"object {key} is larger than {max_bytes} bytes")
        return data

    def size(self, key: str) -> int | None:
        """See ObjectStore."""
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as err:
            raise Transient(f"object store {self._folder}: {err}") from err

    def mark(self, key: str) -> str | None:
        """See ObjectStore: size, time and inode of a file that is only ever replaced."""
        try:
            at = self._path(key).stat()
        except FileNotFoundError:
            return None
        except OSError as err:
            raise Transient(f"object store {self._folder}: {err}") from err
        return f"{at.st_size} {at.st_mtime_ns} {at.st_ino}"

    def written_at(self, key: str) -> datetime | None:
        """See ObjectStore."""
        try:
            return datetime.fromtimestamp(self._path(key).stat().st_mtime, UTC)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise Transient(f"object store {self._folder}: {err}") from err

    def list(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        return sorted(key for key in self._keys() if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as err:
            raise Transient(f"object store {self._folder}: {err}") from err

    def probe(self) -> None:
        """See ObjectStore."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise Transient(f"object store {self._folder}: {err}") from err

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _keys(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._folder):
            for name in names:
                if not name.endswith(".part"):
                    yield (Path(folder) / name).relative_to(self._folder).as_posix()
