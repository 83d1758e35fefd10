"""What a model's source holds now: whether it is what it was, and what of it a version was made of. All calls block."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shipway.bundle.historyfiles import state_of
from shipway.bundle.manifest import Windows
from shipway.bundle.sources import files_of, keys_of, reading
from shipway.contract.spec import ModelSpec
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings


def fingerprint(
    store: ObjectStore, spec: ModelSpec, allowed: DataSettings, windows: Windows | None = None
) -> list[list[str]]:
    """What the source holds now, as [name, mark] of each file: a mark differs once the file's bytes do. Of the history
    those that hold ``windows``.

    Raises:
        Permanent: no data, or none that may be read. Transient: the source is away.
    """
    found: list[list[str]] = []
    kind, _, place = (spec.data.files or "").partition(":")
    if kind == "folder":
        with reading(spec):
            stats = [(file, file.stat()) for file in files_of(Path(place), allowed)]
        found = [[str(file), f"{at.st_size} {at.st_mtime_ns} {at.st_ino}"] for file, at in stats]
    elif kind:
        found = [[key, store.mark(key) or ""] for key in keys_of(store, place)]
    if spec.data.from_history and windows is not None:
        found += state_of(store, spec, windows.train_from, windows.holdout_to)
    return found


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its name, its size in bytes, and its SHA-256; None where that was too much to read."""

    name: str
    bytes: int
    sha256: str | None


def source_files(
    store: ObjectStore, spec: ModelSpec, allowed: DataSettings, most_bytes: int, windows: Windows | None = None
) -> list[SourceFile]:
    """What the source holds now, by content. Files are hashed in order until ``most_bytes`` are read.

    Raises:
        Permanent: no data, or none that may be read. Transient: the source is away.
    """
    kind, _, place = (spec.data.files or "").partition(":")
    keys = keys_of(store, place) if kind not in ("", "folder") else []
    if spec.data.from_history and windows is not None:
        keys += [key for key, _ in state_of(store, spec, windows.train_from, windows.holdout_to)]
    found: list[SourceFile] = []
    left = most_bytes
    with reading(spec):
        for path in files_of(Path(place), allowed) if kind == "folder" else []:
            size = path.stat().st_size
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest() if size <= left else None
            found.append(SourceFile(str(path), size, digest))
            left -= size
        for key in keys:
            size = store.size(key) or 0
            digest = hashlib.sha256(store.get(key, allowed.max_file_bytes)).hexdigest() if size <= left else None
            found.append(SourceFile(key, size, digest))
            left -= size
    return found
