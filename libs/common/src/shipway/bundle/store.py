"""Bundles in the object store: ``bundles/<digest>/<file>``, the manifest last, every byte checked on the way back.

All calls are blocking; async code calls them with ``asyncio.to_thread``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.bundle.golden import decode_golden
from shipway.bundle.manifest import (
    DIGEST,
    FORMAT,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    REQUIRED_FILES,
    FileEntry,
    Manifest,
    Windows,
    check_digest,
    decode_manifest,
    encode_manifest,
    sha256,
)
from shipway.contract.errors import Permanent
from shipway.contract.signature import MAX_SIGNATURE_BYTES, Signature, parse_signature
from shipway.contract.spec import ModelSpec, recorded_spec
from shipway.runtime.objects import ObjectStore

Matrix = npt.NDArray[np.float64]
SERVED_FILES = ("model.txt", "signature.json", "golden.parquet")


@dataclass(frozen=True)
class Limits:
    """The largest files that are taken in, in bytes, and the most golden rows."""

    model_bytes: int = 500_000_000
    signature_bytes: int = MAX_SIGNATURE_BYTES
    file_bytes: int = 50_000_000
    golden_rows: int = 10_000


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle's name and its size in bytes."""

    digest: str
    total_bytes: int


@dataclass(frozen=True)
class Servable:
    """What of a bundle is needed to serve it; read, and the hashes hold.

    ``golden_rows`` is (rows, features), ``golden_scores`` (rows, outputs): what the model gave for them.
    """

    digest: str
    manifest: Manifest
    model_text: bytes
    signature: Signature
    golden_rows: Matrix
    golden_scores: Matrix


@dataclass(frozen=True)
class Bundle(Servable):
    """A whole bundle that was read and whose hashes hold."""

    spec: ModelSpec
    files: Mapping[str, bytes]


def bundle_key(digest: str, name: str) -> str:
    """The object key of a bundle's file."""
    return f"bundles/{check_digest(digest)}/{name}"


def digests_in(store: ObjectStore) -> frozenset[str]:
    """The bundles that are there, by the names of their manifests, which nobody has looked into.

    Raises:
        Transient: the store is away.
    """
    parts = [key.split("/") for key in store.list("bundles/")]
    return frozenset(p[1] for p in parts if len(p) == 3 and p[2] == MANIFEST and DIGEST.fullmatch(p[1]))


def write_bundle(
    store: ObjectStore,
    files: Mapping[str, bytes],
    *,
    model: str,
    library_versions: Mapping[str, str],
    windows: Windows,
    created_at: datetime | None = None,
) -> WrittenBundle:
    """Writes a bundle, the manifest last, so that a half-written one is never taken for whole.

    Raises:
        Transient: the store is away; calling again with the same files mends what is half-written.
        ValueError: a required file is not among ``files``.
    """
    missing = [name for name in REQUIRED_FILES if name not in files]
    if missing:
        raise ValueError(f"a bundle needs {missing}")
    manifest = Manifest(
        format=FORMAT,
        model=model,
        files={name: FileEntry(sha256(data), len(data)) for name, data in sorted(files.items())},
        library_versions=dict(library_versions),
        created_at=created_at or datetime.now(UTC),
        train_from=windows.train_from,
        train_to=windows.train_to,
        holdout_from=windows.holdout_from,
        holdout_to=windows.holdout_to,
        as_of=windows.as_of,
    )
    raw = encode_manifest(manifest)
    digest = sha256(raw)
    for name, data in files.items():
        store.put(bundle_key(digest, name), data)
    store.put(bundle_key(digest, MANIFEST), raw)
    return WrittenBundle(digest, len(raw) + sum(map(len, files.values())))


def read_manifest(store: ObjectStore, digest: str) -> Manifest:
    """The manifest of a bundle.

    Raises:
        ObjectMissing, Permanent, Transient: as read_bundle.
    """
    return decode_manifest(store.get(bundle_key(digest, MANIFEST), MAX_MANIFEST_BYTES), digest)


def read_bundle(store: ObjectStore, digest: str, *, limits: Limits | None = None) -> Bundle:
    """Reads a bundle and checks every hash. The model file itself is still hostile: see bundle.modelfile.

    Raises:
        ObjectMissing: a file is not there (a kind of Permanent).
        Permanent: a file is too large, or not the one that was written, or not what it should be.
        Transient: the store is away.
    """
    limits = limits or Limits()
    manifest = read_manifest(store, digest)
    files = {name: _checked(store, digest, name, entry, limits) for name, entry in manifest.files.items()}
    signature, rows, scores = _opened(files, digest, limits)
    spec = recorded_spec(_json(files, "spec.json", digest))
    return Bundle(digest, manifest, files["model.txt"], signature, rows, scores, spec, files)


def read_servable(store: ObjectStore, digest: str, *, limits: Limits | None = None) -> Servable:
    """Reads and checks as read_bundle does, of a bundle's files those only that serving it needs.

    Raises:
        ObjectMissing, Permanent, Transient: as read_bundle.
    """
    limits = limits or Limits()
    manifest = read_manifest(store, digest)
    files = {name: _checked(store, digest, name, manifest.files[name], limits) for name in SERVED_FILES}
    return Servable(digest, manifest, files["model.txt"], *_opened(files, digest, limits))


def read_file(store: ObjectStore, digest: str, name: str, *, limits: Limits | None = None) -> bytes:
    """One file of a bundle, its hash checked.

    Raises:
        ObjectMissing, Permanent, Transient: as read_bundle.
    """
    return _checked(store, digest, name, read_manifest(store, digest).files[name], limits or Limits())


def _opened(files: Mapping[str, bytes], digest: str, limits: Limits) -> tuple[Signature, Matrix, Matrix]:
    signature = parse_signature(_json(files, "signature.json", digest))
    return signature, *decode_golden(files["golden.parquet"], signature, limits.golden_rows)


def _checked(store: ObjectStore, digest: str, name: str, entry: FileEntry, limits: Limits) -> bytes:
    of_its_own = {"model.txt": limits.model_bytes, "signature.json": limits.signature_bytes}
    limit = of_its_own.get(name, limits.file_bytes)
    if not 0 <= entry.size <= limit:
        raise Permanent(f"bundle {digest[:12]}: {name} has {entry.size} bytes; the limit is {limit}")
    data = store.get(bundle_key(digest, name), entry.size + 1)
    if len(data) != entry.size or sha256(data) != entry.sha256:
        raise Permanent(f"bundle {digest[:12]}: {name} is damaged (its hash differs from the manifest's)")
    return data


def _json(files: Mapping[str, bytes], name: str, digest: str) -> object:
    try:
        return msgspec.json.decode(files[name])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise Permanent(f"bundle {digest[:12]}: {name}: {err}") from err
